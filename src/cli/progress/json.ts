import type { JobEvent } from '../../jobs/index.ts';
import type { Progress, ProgressOutput } from './progress.ts';

/** Progress of bytes at most this often for one thing; a script needs no more, and a pipe should not fill. */
const INTERVAL_MS = 200;

/** Every event as one JSON line. */
export function jsonProgress(stderr: ProgressOutput): Progress {
  const lastSaid = new Map<string, number>();
  return {
    report: (event) => {
      const timeMs = Date.now();
      const key = repeatedKey(event as JobEvent);
      if (key !== undefined) {
        if (timeMs - (lastSaid.get(key) ?? 0) < INTERVAL_MS) return;
        lastSaid.set(key, timeMs);
      }
      const { type, ...rest } = event;
      stderr.write(`${JSON.stringify({ event: type, timeMs, ...rest })}\n`);
    },
    [Symbol.dispose]: () => undefined,
  };
}

function repeatedKey(event: JobEvent): string | undefined {
  if (event.type === 'packing') return `packing ${event.id}`;
  if (event.type === 'pushing') return `pushing ${event.digest}`;
  if (event.type !== 'buildkit') return undefined;
  const { event: inner } = event;
  if (inner.type === 'status' && inner.state === 'running') return `status ${inner.step} ${inner.id}`;
  return inner.type === 'blob' && inner.state === 'progress' ? `blob ${inner.digest}` : undefined;
}
