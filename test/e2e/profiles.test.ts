import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { BuildResult } from '../../src/jobs/index.ts';
import type { MountStat } from '../../src/mount/index.ts';
import { openStore } from '../../src/objects/index.ts';
import { buildJson, runCommand } from '../support/command-line.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { serviceSetting } from '../support/services.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary-directory.ts';

/** Small files with more than a chunk of other bytes between each two: each is a chunk of its own, next to no other. */
const FILES = Array.from({ length: 12 }, (_, at) => `f${String(at).padStart(2, '0')}`);
/** Profiles are for what runs; the pause lets the replay come before the reads, which are made in no order of the layer. */
const COMMAND = ['/bin/sh', '-c', `sleep 1; cd /srv && cat ${FILES.toReversed().join(' ')} > /dev/null`];
const imageId = `profiles_${process.pid}`;
const source = `e2e/${imageId}`;

let scratch: TemporaryDirectory;
let proxy: FaultProxy;
let state: Readonly<Record<string, string>>;
let built: BuildResult;
let caches = 0;

beforeAll(async () => {
  scratch = await temporaryDirectory('profiles');
  proxy = await FaultProxy.start(serviceSetting('CLIPYARD_REGISTRY'));
  state = { CLIPYARD_STATE: join(scratch.path, 'state'), CLIPYARD_STORE: `file://${join(scratch.path, 'store')}` };
  await mkdir(join(scratch.path, 'context/srv'), { recursive: true });
  await copyFile('/bin/busybox', join(scratch.path, 'context/busybox'));
  for (const [at, name] of FILES.entries()) {
    await writeContent(name, 3000);
    await writeContent(`${name}.large`, 400_000 + 20_011 * at * at);
  }
  await writeFile(
    join(scratch.path, 'context/Dockerfile'),
    'FROM scratch\nCOPY --chmod=755 busybox /bin/sh\nCOPY --chmod=755 busybox /bin/sleep\nCOPY --chmod=755 busybox /bin/cat\nCOPY srv /srv\n',
  );
  built = await build();
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await scratch[Symbol.asyncDispose]();
});

test('the first start is recorded and published, the next one is fetched ahead, and so is the rebuilt image', async () => {
  const cold = await start(['--profile', 'auto']);
  expect(cold.replay).toBeUndefined();
  expect(missing(cold)).toBeGreaterThanOrEqual(FILES.length);
  expect(await profiles()).toEqual(['any.json', expect.stringMatching(/^entry-[0-9a-f]{16}\.json$/)]);
  expect(await readdir(join(scratch.path, 'state/recordings'))).toEqual([]);

  const again = await start(['--profile', 'auto']);
  expect(again.replay).toMatchObject({ state: 'done', unforeseen: 0 });
  expect(again.replay?.mapped).toBe(again.replay?.chunks);
  expect(missing(again)).toBeLessThan(missing(cold) / 3);
  expect(again.requests).toBeLessThanOrEqual(cold.requests);

  await writeContent(FILES[5] ?? '', 3000);
  const digests = await build();
  expect(digests.changed).toBe(true);
  const rebuilt = await start(['--profile', 'auto']);
  expect(rebuilt.replay?.mapped).toBeLessThan(rebuilt.replay?.chunks ?? 0);
  expect(rebuilt.replay?.mapped).toBeGreaterThanOrEqual((rebuilt.replay?.chunks ?? 0) - 3);
  expect(missing(rebuilt)).toBeGreaterThan(0); // what changed
  expect(missing(rebuilt)).toBeLessThan(missing(cold) / 2);
});

test('a start is added to the profile on request, and only then', async () => {
  const before = await runsOf();
  await start(['--profile', 'auto']);
  expect(await runsOf()).toBe(before);
  await start(['--profile', 'auto', '--record']);
  expect(await runsOf()).toBe(before + 1);
});

test('an image of a registry and an archive in a bucket have profiles of their own', async () => {
  const reference = `docker://${built.storageRef}`;
  const bucket = `${serviceSetting('CLIPYARD_STORE')}/profiles-${process.pid}`;
  const stored = await readFile(await storedArchive());
  await using store = openStore(bucket, process.env);
  await store.put('image.clip', stored, { signal: AbortSignal.timeout(60_000) });
  for (const of of [reference, `${bucket}/image.clip`]) {
    expect((await start(['--profile', 'auto'], of)).replay, of).toBeUndefined();
    expect((await start(['--profile', 'auto'], of)).replay, of).toMatchObject({ state: 'done', unforeseen: 0 });
  }
  const names = await readdir(join(scratch.path, 'store/registry-profiles'), { recursive: true });
  expect(names.filter((name) => name.endsWith('any.json'))).toEqual([
    expect.stringContaining(`/e2e/${imageId}/linux-`),
  ]);
});

test('a mount publishes its start when it is unmounted, beside an archive file too', async () => {
  const archive = join(scratch.path, 'image.clip');
  await copyFile(await storedArchive(), archive);
  const at = join(scratch.path, 'mnt');
  await mkdir(at);
  const mount = async () => {
    const flags = ['--cache', emptyCache(), '--profile', 'auto'];
    const { exitCode, stderr } = await runCommand(['mount', archive, at, ...flags], state);
    expect(exitCode, stderr).toBe(0);
  };
  const unmount = async () => await runCommand(['--json', 'umount', at], state);
  await mount();
  const listing = await runCommand(['trace', at], state);
  expect(listing.exitCode).toBe(0);
  await readdir(join(at, 'srv'));
  await readFile(join(at, 'srv', FILES[3] ?? ''));
  expect((await unmount()).exitCode).toBe(0);
  const profile = JSON.parse(await readFile(`${archive}.profile`, 'utf8')) as { runs: number; chunks: unknown[] };
  expect(profile.runs).toBe(1);
  expect(profile.chunks.length).toBeGreaterThan(0);
  await mount();
  const { stat } = JSON.parse((await unmount()).stdout) as { stat: MountStat };
  expect(stat.replay?.mapped).toBe(profile.chunks.length);
  expect(await readdir(join(scratch.path, 'state/recordings'))).toEqual([]);
});

test('a store that takes nothing costs the profile and not the run', async () => {
  const nowhere = join(scratch.path, 'store/profiles');
  await rm(nowhere, { recursive: true, force: true });
  await writeFile(nowhere, 'no folder');
  const { exitCode, stderr } = await runImage(['--profile', 'auto', '--record']);
  expect(exitCode, stderr).toBe(0);
  expect(stderr).toMatch(/not published|without a profile/);
});

/** A run on an empty cache; gives what its mount did. */
async function start(flags: readonly string[], of = source): Promise<MountStat> {
  proxy.takeRequests();
  const { exitCode, stderr } = await runImage(flags, of);
  expect(exitCode, stderr).toBe(0);
  return JSON.parse(stderr.split('\n').find((line) => line.includes('"event":"stat"')) ?? '{}') as MountStat;
}

async function runImage(flags: readonly string[], of = source) {
  return await runCommand(['--json', 'run', ...flags, '--cache', emptyCache(), of, '--', ...COMMAND], state);
}

async function storedArchive(): Promise<string> {
  const names = await readdir(join(scratch.path, 'store/archives'));
  return join(scratch.path, 'store/archives', names.find((name) => name.endsWith('.clip')) ?? '');
}

function emptyCache(): string {
  caches += 1;
  return join(scratch.path, `cache-${caches}`);
}

async function build(): Promise<BuildResult & { readonly changed: boolean }> {
  const flags = ['--context', join(scratch.path, 'context'), '--workspace', 'e2e', '--image-id', imageId];
  const result = await buildJson([...flags, '--registry', `${proxy.address}/e2e/${imageId}`], state);
  return { ...result, changed: result.layers.some(({ packed }) => packed === 'new') };
}

async function writeContent(name: string, length: number): Promise<void> {
  await writeFile(join(scratch.path, 'context/srv', name), randomBytes(length));
}

/** Reads that found nothing on its way. */
function missing({ tiers }: MountStat): number {
  return tiers.find(({ tier }) => tier === 'missing')?.reads ?? 0;
}

async function profiles(): Promise<readonly string[]> {
  const names = await readdir(join(scratch.path, 'store/profiles/e2e', imageId), { recursive: true });
  return names
    .filter((name) => name.endsWith('.json'))
    .map((name) => name.split('/').at(-1) ?? '')
    .toSorted();
}

async function runsOf(): Promise<number> {
  const [platform = ''] = await readdir(join(scratch.path, 'store/profiles/e2e', imageId));
  const path = join(scratch.path, 'store/profiles/e2e', imageId, platform, 'any.json');
  return (JSON.parse(await readFile(path, 'utf8')) as { runs: number }).runs;
}
