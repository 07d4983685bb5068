import { plainRenderer } from '../../buildkit/index.ts';
import { jobLine } from './job-lines.ts';
import type { Progress, ProgressOutput } from './progress.ts';

/** One line an event, for logs and pipes: BuildKit's steps as `#5 …`, the rest after them. */
export function plainProgress(stderr: ProgressOutput): Progress {
  const steps = plainRenderer((line) => stderr.write(`${line}\n`));
  return {
    report: (event) => {
      if (event.type === 'buildkit') {
        steps(event.event);
        return;
      }
      const line = jobLine(event);
      if (line !== undefined) stderr.write(`${line}\n`);
    },
    [Symbol.dispose]: () => undefined,
  };
}
