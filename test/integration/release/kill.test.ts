import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Digest } from '../../../src/digest/index.ts';
import { createRegistryClient } from '../../../src/registry/index.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { KillRig } from '../../support/release/kill-rig.ts';
import { killSubjects } from '../../support/release/kill-subjects.ts';
import { type ProgramRelease, runRelease } from '../../support/release/release-program.ts';
import { serviceSetting } from '../../support/services.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';
import { type PushedIndex, pushTestIndex } from '../../support/test-index.ts';

const PROGRAM = join(import.meta.dirname, '../../support/release/release-program.ts');
const COMMIT = 'abc123def';
const signal = AbortSignal.timeout(120_000);
const registry = serviceSetting('CLIPYARD_REGISTRY');
const client = createRegistryClient();
let directory: TemporaryDirectory;

beforeAll(async () => {
  directory = await temporaryDirectory('release-kill');
});
afterAll(async () => {
  await client[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

/** Runs the release until it has sent so many requests, and kills it while the next one waits. False: it ended before. */
async function killedAfter(requests: number, given: Omit<ProgramRelease, 'registry'>): Promise<boolean> {
  await using proxy = await FaultProxy.start(registry);
  if (requests > 0) proxy.inject({}, { kind: 'delay', delayMs: 0 }, { times: requests });
  proxy.inject({}, { kind: 'stall' });
  const args = [proxy.address, given.repository, given.store, given.version, given.commit ?? '-', given.built ?? '-'];
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ['ignore', 'inherit', 'inherit'] });
  const ended = once(child, 'exit');
  while (proxy.requests.length <= requests && child.exitCode === null) await sleep(5);
  child.kill('SIGKILL');
  await ended;
  return child.exitCode === null;
}

/** What the tags of a repository name. */
async function tagsOf(repository: string): Promise<ReadonlyMap<string, Digest | undefined>> {
  const where = { registry, repository };
  const tags = await client.listTags(where, { signal });
  const named = tags.map(async (tag) => [tag, (await client.headManifest(where, tag, { signal }))?.digest] as const);
  return new Map(await Promise.all(named));
}

/** Kills at request `first`, `first + step`, … until the release ends by itself; each time in a repository of its own. */
async function killEverywhere(
  name: string,
  { first, step }: { readonly first: number; readonly step: number },
  prepare: (repository: string) => Promise<{ image: PushedIndex; commit: string | undefined; built?: Digest }>,
): Promise<number> {
  for (let at = first; ; at += step) {
    const repository = `release-kill/${process.pid}-${name}-${at}`;
    const { built, commit, image } = await prepare(repository);
    const store = `file://${directory.path}/${name}-${at}`;
    const given = { repository, store, version: 'v1.0.0', commit, built };
    if (!(await killedAfter(at, given))) return at;
    const between = await tagsOf(repository);
    for (const digest of between.values()) expect(digest).toBe(image.digest);
    if (between.has('latest')) expect(between.has('v1.0.0')).toBe(true);
    await runRelease({ registry, ...given });
    const tags = await tagsOf(repository);
    expect([tags.get('v1.0.0'), tags.get('latest')]).toEqual([image.digest, image.digest]);
    if (commit !== undefined) expect(tags.get(commit)).toBe(image.digest);
  }
}

// scripts/soak.sh kills does it behind every request, at two registries, and of a matrix too.
test('C11, R000-11, R001-24: release and retention that are killed behind a request are ended by the same command again', async () => {
  const seed = Number(process.env['CLIPYARD_KILL_SEED'] ?? Date.now() % 1_000_000);
  process.stdout.write(`kills: CLIPYARD_KILL_SEED=${seed}\n`);
  await using rig = await KillRig.start('olareg');
  for (const [place, subject] of killSubjects.filter(({ name }) => name !== 'matrix').entries()) {
    // About as many requests as each run has; one that ends before is looked at all the same.
    const at = 1 + ((seed + 7 * place) % (subject.name.includes('retention') ? 38 : 14));
    const outcome = await rig.killedAt(at, subject).catch((thrown: unknown) => {
      throw new Error(`${subject.name} killed at ${at}`, { cause: thrown });
    });
    expect(['killed', 'ended']).toContain(outcome.kind);
  }
});

test('C11, D18: tagging a built image that is killed goes on with that image', async () => {
  const prepare = async (repository: string) => {
    const where = { registry, repository };
    const image = await pushTestIndex(client, where, 'seed', { directory: directory.path });
    await client.deleteManifest(where, 'seed', { signal });
    return { image, commit: COMMIT, built: image.digest };
  };
  const ended = await killEverywhere('built', { first: 7, step: 4 }, prepare);
  expect(ended).toBeGreaterThan(10);
});
