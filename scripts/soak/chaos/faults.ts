import { setTimeout as sleep } from 'node:timers/promises';
import type { Part } from './part.ts';
import type { Fault } from './plan.ts';

/** How a worker that was told to go ended: its exit code, or the signal that ended it. */
export type RestartEnd = number | NodeJS.Signals;

interface Played {
  played: number;
  readonly restarts: RestartEnd[];
}

/** Budget of a drain, a cleanup while a server sleeps, and a machine that is busy. */
const RESTART_MS = 60_000;

/** Plays the faults of one part, each at its time; afterwards it runs and answers. Aborted: no more faults. */
async function playFor(part: Part, faults: readonly Fault[], startMs: number, signal: AbortSignal): Promise<Played> {
  const done: Played = { played: 0, restarts: [] };
  for (const { atMs, forMs, kind } of faults) {
    await sleep(Math.max(0, startMs + atMs - Date.now()), undefined, { signal }).catch(() => undefined);
    if (signal.aborted) break;
    if (kind === 'pause') {
      part.pause();
      await sleep(forMs);
      part.resume();
    } else {
      // One that is still starting has no builds to hand back, and no ear for the signal.
      if (kind === 'restart' && (await part.isReady())) done.restarts.push(await part.stop(RESTART_MS));
      else await part.kill();
      await sleep(forMs);
      part.start();
    }
    done.played += 1;
  }
  return done;
}

/** Says how many faults there were and how restarted workers ended, once everything is up again. */
export async function playFaults(
  parts: readonly Part[],
  faults: readonly Fault[],
  signal: AbortSignal,
): Promise<Readonly<Played>> {
  const startMs = Date.now();
  const each = await Promise.all(
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
  const played = each.reduce((sum, one) => sum + one.played, 0);
  return { played, restarts: each.flatMap(({ restarts }) => restarts) };
}
