import { execFile } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pLimit from 'p-limit';
import { WorkerError } from '../../../src/errors/index.ts';
import { namesIn } from '../../../src/files/index.ts';
import { type BuildResult, storeKeys } from '../../../src/jobs/index.ts';
import { openStore } from '../../../src/objects/index.ts';
import { OciLayout } from '../../../src/oci/index.ts';
import { openQueue } from '../../../src/queue/index.ts';
import { mountPointsBelow } from '../../services/killed-buildkit.ts';
import type { WatchedBuild } from './client.ts';
import { nameOf } from './publications.ts';
import type { Stage } from './stage.ts';

const run = promisify(execFile);
/** Each is a process of its own. */
const CHECKS_AT_ONCE = 3;
const MOUNTS_MS = 10_000;
const POLL_MS = 100;
const CLIPYARD = join(import.meta.dirname, '../../clipyard');
const { signal } = new AbortController();

/** What is wrong with the end of a build and what was told of it. */
export function checkEvents({ build, events, how, planned }: WatchedBuild): string[] {
  const name = `${planned.workspaceId}/${planned.imageId} (${build.buildId})`;
  const problems: string[] = [];
  const mayEndAs = planned.cancelAfterMs === undefined ? ['done'] : ['done', 'canceled'];
  if (!mayEndAs.includes(build.state))
    problems.push(`${name} is ${build.state}: ${build.failure?.code ?? ''} ${build.failure?.message ?? ''}`);
  const wrong = events.findIndex(({ cursor }, at) => cursor !== at + 1);
  if (wrong !== -1) problems.push(`${name}: event ${wrong + 1} has cursor ${events[wrong]?.cursor ?? 0} (${how})`);
  const ends = events.filter(({ kind, phase }) => kind === 'state' && ['done', 'failed', 'canceled'].includes(phase));
  if (ends.length !== 1 || events.at(-1) !== ends[0])
    problems.push(`${name}: ${ends.length} events of its end, the last event is ${events.at(-1)?.phase ?? 'none'}`);
  return problems;
}

/** Every archive verifies to its last chunk; of some images a container starts from a mount. */
export async function checkArchives(
  watched: readonly WatchedBuild[],
  stage: Stage,
  { directory, mounts }: { readonly directory: string; readonly mounts: number },
): Promise<string[]> {
  const problems: string[] = [];
  await using store = openStore(stage.env['CLIPYARD_STORE'] ?? '', { ...process.env, ...stage.env });
  const done = watched.filter(({ build }) => build.state === 'done');
  const images = [...new Map(done.map((each) => [nameOf(each.planned), each]))];
  const env = { ...process.env, ...stage.env };
  const check = async ([name, { build, planned }]: (typeof images)[number], number: number) => {
    for (const { digest } of (build.result as unknown as BuildResult).archives) {
      const path = join(directory, `archive-${number}.clip`);
      const { body } = await store.get(storeKeys.archive(digest), { signal });
      await pipeline(body, createWriteStream(path));
      await run(CLIPYARD, ['verify', '--deep', path], { env }).catch((thrown: unknown) => {
        problems.push(`${name}: its archive does not verify: ${outputOf(thrown)}`);
      });
      await rm(path);
    }
    if (number >= mounts) return;
    try {
      const { stdout } = await run(CLIPYARD, ['run', name, '--', '/bin/busybox', 'cat', '/copy'], { env });
      if (stdout !== planned.message) problems.push(`${name}: a container reads ${JSON.stringify(stdout)}`);
    } catch (thrown) {
      problems.push(`${name}: no container starts: ${outputOf(thrown)}`);
    }
  };
  const turn = pLimit(CHECKS_AT_ONCE);
  await Promise.all(images.map((each, number) => turn(() => check(each, number))));
  return problems;
}

/** What is held or lies about while nothing runs; the workers are up. */
export async function checkHeld(stage: Stage): Promise<string[]> {
  const problems: string[] = [];
  await using queue = await openQueue(stage.queue, {
    ...{ leaseMs: 4000, maxAttempts: 100, weights: new Map(), maxRunningPerWorkspace: 8, warmWaitMs: 0 },
    now: Date.now,
  });
  const { dead, delayed, queued, running } = await queue.depth({ signal });
  if (dead + delayed + queued + running > 0)
    problems.push(`the queue has ${running} leases, ${queued} queued, ${delayed} delayed, ${dead} dead jobs`);
  for (const stateDir of stage.stateDirs) {
    for (const name of await namesIn(join(stateDir, 'landing'))) {
      try {
        const layout = await OciLayout.open(join(stateDir, 'landing', name), { create: false, signal });
        await using _lock = await layout.lock({ signal, waitMs: 0 });
      } catch (thrown) {
        if (!(thrown instanceof WorkerError)) throw thrown;
        // A worker that died before it wrote the first file left an empty folder, which holds nothing up.
        if (thrown.code !== 'LAYOUT_NOT_FOUND') problems.push(`landing ${name}: ${thrown.code}`);
      }
    }
  }
  return problems;
}

export interface Leftovers {
  /** Files and folders in `tmp` of the workers' states that nobody has. */
  readonly temporary: readonly string[];
  /** Bodies of upload sessions in the registry's storage, and when they were begun. */
  readonly uploads: readonly { readonly path: string; readonly begunMs: number }[];
  /** Mount points below the workers' states and buildkitd's root, which holds its temporary files too. */
  readonly mounts: readonly string[];
}

/** What is left once the workers have gone. */
export async function leftovers(stage: Stage): Promise<Leftovers> {
  const temporary: string[] = [];
  for (const stateDir of stage.stateDirs)
    for (const name of await namesIn(join(stateDir, 'tmp'))) temporary.push(join(stateDir, 'tmp', name));
  const stored = await readdir(stage.registryDir, { recursive: true });
  const uploads: Leftovers['uploads'][number][] = [];
  for (const path of stored.filter((each) => each.includes('_uploads/')))
    uploads.push({ path, begunMs: (await stat(join(stage.registryDir, path))).birthtimeMs });
  return { temporary, uploads, mounts: await lastingMounts([...stage.stateDirs, stage.buildkitDir]) };
}

/** buildkitd takes the file systems of canceled steps down in its own time. */
async function lastingMounts(directories: readonly string[]): Promise<readonly string[]> {
  const endMs = Date.now() + MOUNTS_MS;
  for (;;) {
    const mounts = directories.flatMap(mountPointsBelow);
    if (mounts.length === 0 || Date.now() > endMs) return mounts;
    await sleep(POLL_MS);
  }
}

function outputOf(thrown: unknown): string {
  const { message, stderr } = thrown as { readonly message: string; readonly stderr?: string };
  return (stderr ?? message).trim().slice(-500);
}
