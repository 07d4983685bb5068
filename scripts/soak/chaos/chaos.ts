import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkArchives, checkEvents, checkHeld, leftovers } from './checks.ts';
import { ChaosClient, type WatchedBuild } from './client.ts';
import { playFaults, type RestartEnd } from './faults.ts';
import { type ChaosSize, planChaos } from './plan.ts';
import { checkPublications } from './publications.ts';
import { openStage, type QueueKind, UPKEEP_SECONDS } from './stage.ts';

export interface ChaosOptions extends ChaosSize {
  readonly queue: QueueKind;
  /** Empty; everything lies below it. */
  readonly directory: string;
  /** Images of which a container is started. */
  readonly mounts: number;
}

export interface ChaosReport extends ChaosSize {
  readonly queue: QueueKind;
  readonly faults: number;
  /** How workers ended that were told to go: 0, all was finished; 3, some was handed back. */
  readonly drains: readonly RestartEnd[];
  /** Builds that ended canceled; others that were to be had ended before. */
  readonly canceled: number;
  /** Workers that ended by themselves, because what they need was away, and were started again. */
  readonly restarts: number;
  readonly retries: number;
  readonly attempts: number;
  readonly shared: number;
  readonly events: number;
  readonly slowestMs: number;
  readonly exitCodes: readonly RestartEnd[];
  /** Bodies of uploads of a registry that was killed: the next one does not know their addresses, whoever asks. */
  readonly uploadsForgotten: number;
  readonly tookMs: number;
  /** Empty when all is well. */
  readonly problems: readonly string[];
}

/** How a worker ends that was told to go. */
const DRAINED: readonly RestartEnd[] = [0, 3];
/** After the last fault. */
const SETTLE_MS = 240_000;
/** Two rounds of the workers' upkeep, and a little. */
const UPKEEP_MS = UPKEEP_SECONDS * 2000 + 1000;

/** Builds while every part dies and sleeps by plan; what was built, and what is left, is looked at in the end. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { builds, directory, mounts, queue, seconds, seed } = options;
  const startedMs = Date.now();
  await using stage = await openStage(directory, queue);
  const names = stage.parts.map(({ name }) => name).toSorted();
  const plan = planChaos({ builds, seconds, seed }, names);
  const signal = AbortSignal.timeout(seconds * 1000 + SETTLE_MS);
  await mkdir(join(directory, 'contexts'));
  using client = new ChaosClient(stage.servers, join(directory, 'contexts'), signal);
  const problems: string[] = [];
  const beginMs = Date.now();
  const faults = playFaults(stage.parts, plan.faults, signal);
  const ended = await Promise.all(
    plan.builds.map(async (planned, number): Promise<WatchedBuild | undefined> => {
      await sleep(Math.max(0, beginMs + planned.atMs - Date.now()));
      try {
        return await client.run(planned, number);
      } catch (thrown) {
        problems.push(`build ${number}, ${planned.workspaceId}/${planned.imageId}: ${String(thrown)}`);
        return undefined;
      }
    }),
  );
  const { played, restarts: drains } = await faults;
  const odd = drains.filter((end) => !DRAINED.includes(end));
  if (odd.length > 0) problems.push(`workers that were told to go ended with ${odd.join(', ')}`);
  const watched = ended.filter((each) => each !== undefined);
  problems.push(...watched.flatMap(checkEvents));
  problems.push(...(await checkPublications(watched, stage)));
  problems.push(...(await checkArchives(watched, stage, { directory, mounts })));
  await sleep(UPKEEP_MS);
  problems.push(...(await checkHeld(stage)));
  const exitCodes = await Promise.all(stage.workers.map((worker) => worker.stop(30_000)));
  if (exitCodes.some((code) => code !== 0)) problems.push(`workers ended with ${exitCodes.join(', ')}`);
  const left = await leftovers(stage);
  problems.push(...left.temporary.map((path) => `left behind: ${path}`), ...left.mounts.map((at) => `mounted: ${at}`));
  // The registry that runs knows what was begun with it: whoever lives ends or drops it.
  const known = left.uploads.filter(({ begunMs }) => begunMs > stage.registrySinceMs());
  problems.push(...known.map(({ path }) => `an upload session without a worker: ${path}`));
  for (const part of stage.parts.filter((each) => !stage.workers.includes(each))) await part.stop(20_000);
  return {
    ...{ seed, seconds, builds, queue, drains },
    faults: played,
    canceled: watched.filter(({ build }) => build.state === 'canceled').length,
    restarts: stage.parts.reduce((sum, { restarts }) => sum + restarts, 0),
    retries: client.retries,
    attempts: watched.reduce((sum, { build }) => sum + build.attempt, 0),
    shared: watched.filter(({ how }) => how === 'shared' || how === 'published').length,
    events: watched.reduce((sum, { events }) => sum + events.length, 0),
    slowestMs: Math.max(0, ...watched.map(({ build }) => (build.endedAtMs ?? 0) - build.submittedAtMs)),
    exitCodes,
    uploadsForgotten: left.uploads.length - known.length,
    tookMs: Date.now() - startedMs,
    problems,
  };
}
