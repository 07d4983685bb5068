import type { JobEvent, UntimedJobEvent } from '../../jobs/index.ts';
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
      stderr.write(`${JSON.stringify(eventDocument(event, timeMs))}\n`);
    },
    [Symbol.dispose]: () => undefined,
  };
}

/** `event` is always the name; what BuildKit told stands under `buildkit`. */
function eventDocument(event: UntimedJobEvent, timeMs: number): object {
  if (event.type === 'buildkit') return { event: event.type, timeMs, buildkit: event.event };
  const { type, ...rest } = event;
  return { event: type, timeMs, ...rest };
}

function repeatedKey(event: JobEvent): string | undefined {
  if (event.type === 'packing') return `packing ${event.id}`;
  if (event.type === 'pushing') return `pushing ${event.digest}`;
  if (event.type !== 'buildkit') return undefined;
  const { event: inner } = event;
  if (inner.type === 'status' && inner.state === 'running') return `status ${inner.step} ${inner.id}`;
  return inner.type === 'blob' && inner.state === 'progress' ? `blob ${inner.digest}` : undefined;
}
