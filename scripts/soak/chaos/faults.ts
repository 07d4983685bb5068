import { setTimeout as sleep } from 'node:timers/promises';
import type { Part } from './part.ts';
import type { Fault } from './plan.ts';

/** Plays the faults of one part, each at its time; afterwards it runs and answers. Aborted: no more faults. */
async function playFor(part: Part, faults: readonly Fault[], startMs: number, signal: AbortSignal): Promise<number> {
  let played = 0;
  for (const { atMs, forMs, kind } of faults) {
    await sleep(Math.max(0, startMs + atMs - Date.now()), undefined, { signal }).catch(() => undefined);
    if (signal.aborted) break;
    if (kind === 'pause') {
      part.pause();
      await sleep(forMs);
      part.resume();
    } else {
      await part.kill();
      await sleep(forMs);
      part.start();
    }
    played += 1;
  }
  return played;
}

/** Says how many faults there were, and when everything was up again (milliseconds since 1970). */
export async function playFaults(
  parts: readonly Part[],
  faults: readonly Fault[],
  signal: AbortSignal,
): Promise<{ readonly played: number; readonly lastMs: number }> {
  const startMs = Date.now();
  const counts = await Promise.all(
    parts.map((part) =>
      playFor(
        part,
        faults.filter((fault) => fault.part === part.name),
        startMs,
        signal,
      ),
    ),
  );
  for (const part of parts) await part.untilReady();
  const played = counts.reduce((sum, count) => sum + count, 0);
  return { played, lastMs: Date.now() };
}
