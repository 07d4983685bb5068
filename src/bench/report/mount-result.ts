import { z } from 'zod';
import { WorkerError } from '../../errors/index.ts';
import { spreadOf } from '../measure/statistics.ts';
import type { MountRuns, OperationRun } from '../mount/mount-rounds.ts';
import { Spread } from './spread.ts';

const OperationResult = z.object({
  name: z.string(),
  /** With nothing there but the mount (where a mount is unpacking: with everything there, read for the first time). */
  coldSeconds: Spread,
  /** Once more on the same mount. */
  warmSeconds: Spread,
  /** Mount and cold operation: from nothing to done. */
  fromNothingSeconds: Spread,
  /** From the moment the serving process began to mount: what a node's daemon that is there already takes. */
  fromMountSeconds: Spread.optional(),
  /** From the registry while cold, of the counting round. */
  receivedBytes: z.number(),
  /** As the serving process counts them, of the counting round: requests with data, reads that waited for one, and how long. */
  requests: z.number().optional(),
  waits: z.number().optional(),
  waitedSeconds: z.number().optional(),
  /** What the kernel asked the serving process for in the warm repetitions. */
  warmRequests: z.number().optional(),
});

/** What `bench mount` says about a contender; absent for one that did not run. */
export const MountResult = z.object({
  /** From the command to a tree that can be read, start of programs, pull and unpacking included. */
  seconds: Spread,
  /** Of it, opening the archive and mounting, as the serving process counts it. */
  servedSeconds: Spread.optional(),
  /** From the registry, of the counting round. */
  receivedBytes: z.number(),
  /** Of the serving process when it has just mounted, and the most of all operations. */
  mountedBytes: z.number().optional(),
  peakBytes: z.number().optional(),
  operations: z.array(OperationResult),
});
export type MountResult = z.infer<typeof MountResult>;

export function mountResult({ contender, counted, timed }: MountRuns): MountResult | undefined {
  if (counted.length === 0) {
    if (contender.unavailable === undefined) throw new WorkerError('INTERNAL', `${contender.id} was not run`);
    return undefined;
  }
  const of = (pick: (run: OperationRun) => number | undefined) => timed.flatMap((run) => pick(run) ?? []);
  const served = of(({ servedSeconds }) => servedSeconds);
  const mounted = of(({ mountedBytes }) => mountedBytes);
  const peaks = of(({ peakBytes }) => peakBytes);
  return {
    seconds: spreadOf(of(({ mountSeconds }) => mountSeconds)),
    ...(served.length > 0 && { servedSeconds: spreadOf(served) }),
    receivedBytes: Math.max(...counted.map(({ mountReceivedBytes }) => mountReceivedBytes)),
    ...(mounted.length > 0 && { mountedBytes: Math.max(...mounted) }),
    ...(peaks.length > 0 && { peakBytes: Math.max(...peaks) }),
    operations: counted.map((run) => operationResult(run, timed)),
  };
}

function operationResult(counted: OperationRun, timed: readonly OperationRun[]) {
  const { name, receivedBytes, requests, waitedSeconds, waits, warmRequests } = counted;
  const runs = timed.filter((run) => run.name === name);
  const fromMount = runs.flatMap(({ fromMountSeconds }) => fromMountSeconds ?? []);
  return {
    name,
    coldSeconds: spreadOf(runs.map(({ coldSeconds }) => coldSeconds)),
    warmSeconds: spreadOf(runs.map(({ warmSeconds }) => warmSeconds)),
    fromNothingSeconds: spreadOf(runs.map(({ coldSeconds, mountSeconds }) => mountSeconds + coldSeconds)),
    ...(fromMount.length > 0 && { fromMountSeconds: spreadOf(fromMount) }),
    receivedBytes,
    ...(requests !== undefined && { requests, waits, waitedSeconds, warmRequests }),
  };
}
