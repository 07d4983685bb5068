import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cancelable, toWorkerError, WorkerError } from '../../errors/index.ts';
import type { ShapingProxy } from '../link/shaping-proxy.ts';
import { peakBytesOf, residentBytesOf } from '../measure/process-tree.ts';
import { runMeasured } from '../measure/run-measured.ts';
import { median } from '../measure/statistics.ts';
import { type Operation, timeOf } from './operations.ts';
import type { MountContender, MountPlace, OpenTree } from './tree.ts';

/** The first of them finds what the cold run left; their median is what stays. */
const WARM_RUNS = 3;

export interface MountRoundsOptions extends Cancelable {
  readonly rounds: number;
  /** `host:port` */
  readonly registry: string;
  readonly proxy: ShapingProxy;
  /** The proxy shapes: every run goes through it. Else only the counting one does. */
  readonly shaped: boolean;
  readonly scratchDir: string;
  readonly say: (line: string) => void;
}

/** Seconds of one operation on one mount: with nothing there, and the median of some more. */
export interface OperationRun {
  readonly name: string;
  readonly coldSeconds: number;
  readonly warmSeconds: number;
  /** Of the mount it ran on. */
  readonly mountSeconds: number;
  readonly servedSeconds: number | undefined;
  /** From when the serving process began to mount to the end of the cold operation. */
  readonly fromMountSeconds: number | undefined;
  /** Of the counting run, where the serving process says: what the cold operation took, and what the kernel asked for after it. */
  readonly requests?: number;
  readonly waits?: number;
  readonly waitedSeconds?: number;
  readonly warmRequests?: number;
  /** From the registry: by the mount, by the operation while cold. */
  readonly mountReceivedBytes: number;
  readonly receivedBytes: number;
  /** Of the serving process: just mounted, and the most until the end. */
  readonly mountedBytes: number | undefined;
  readonly peakBytes: number | undefined;
}

export interface MountRuns {
  readonly contender: MountContender;
  readonly counted: readonly OperationRun[];
  readonly timed: readonly OperationRun[];
}

/**
 * One counting round through the proxy, which also proves that all show the same tree, then `rounds` of all in turn. Each
 * operation has a mount of its own where the contender opens for each, with a cache of its own: nothing is there before.
 */
export async function runMountRounds(
  contenders: readonly MountContender[],
  operations: readonly Operation[],
  options: MountRoundsOptions,
): Promise<readonly MountRuns[]> {
  const { proxy, registry, rounds, say, scratchDir, shaped, signal } = options;
  const results = contenders.map((contender) => ({
    contender,
    counted: [] as OperationRun[],
    timed: [] as OperationRun[],
  }));
  const proofs = new Map<string, string>();
  let folders = 0;
  for (let round = 0; round <= rounds; round++) {
    const counting = round === 0;
    for (const { contender, counted, timed } of results) {
      if (contender.unavailable !== undefined) continue;
      const own = operations.filter((operation) => contender.takes?.(operation) ?? true);
      const groups = contender.opensForEach ? own.map((operation) => [operation]) : [own];
      for (const group of groups) {
        signal.throwIfAborted();
        const directory = join(scratchDir, `m${folders++}`);
        await mkdir(directory);
        const place = { directory, registry: counting || shaped ? proxy.address : registry, signal };
        try {
          await contender.prepare?.(place, group);
          const runs = await runGroup(contender, group, place, { proxy, proofs: counting ? proofs : undefined });
          (counting ? counted : timed).push(...runs);
        } catch (thrown) {
          signal.throwIfAborted();
          throw toWorkerError(thrown, `bench ${contender.id}`, 'BENCH_FAILED');
        } finally {
          // The daemon's holder writes its last words while we remove them.
          await rm(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
        }
      }
      say(`${counting ? 'counting round' : `round ${round}/${rounds}`}: ${contender.id}`);
    }
  }
  return results;
}

async function runGroup(
  contender: MountContender,
  operations: readonly Operation[],
  place: MountPlace,
  { proofs, proxy }: { readonly proxy: ShapingProxy; readonly proofs: Map<string, string> | undefined },
): Promise<readonly OperationRun[]> {
  const received = () => proxy.traffic().receivedBytes;
  const before = received();
  await using tree = await contender.open(place, operations);
  const { pid, root, seconds: mountSeconds, servedFromMs, servedSeconds } = tree;
  const mountReceivedBytes = received() - before;
  const mountedBytes = pid === undefined ? undefined : residentBytesOf(pid);
  const runs: OperationRun[] = [];
  for (const operation of operations) {
    const start = received();
    const coldSeconds = await timeOf(operation, root, place);
    const fromMountSeconds = servedFromMs === undefined ? undefined : (performance.now() - servedFromMs) / 1000;
    const receivedBytes = received() - start;
    const served = proofs === undefined ? undefined : await tree.served?.();
    const warm: number[] = [];
    while (warm.length < WARM_RUNS) warm.push(await timeOf(operation, root, { ...place, warm: true }));
    const after = served && (await tree.served?.());
    const peakBytes = pid === undefined ? undefined : peakBytesOf(pid);
    const { name } = operation;
    runs.push({
      ...{ name, coldSeconds, mountSeconds, servedSeconds, fromMountSeconds },
      warmSeconds: median(warm),
      ...{ mountReceivedBytes, receivedBytes, mountedBytes, peakBytes },
      ...(served !== undefined && {
        ...{ requests: served.requests, waits: served.waits, waitedSeconds: served.waitedSeconds },
        warmRequests: (after?.kernelRequests ?? 0) - served.kernelRequests,
      }),
    });
    if (proofs !== undefined) await prove(operation, tree, place, proofs);
  }
  return runs;
}

/** Throws BENCH_FAILED when this tree is not the one that the first contender showed. */
async function prove({ name, proof }: Operation, tree: OpenTree, place: MountPlace, proofs: Map<string, string>) {
  if (proof === undefined) return;
  const { stdout } = await runMeasured({ command: [...proof, tree.root] }, place);
  const first = proofs.get(name) ?? stdout;
  proofs.set(name, first);
  if (first !== stdout)
    throw new WorkerError('BENCH_FAILED', `${name} gave ${stdout.trim()}, another mount ${first.trim()}`);
}
