import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ArchiveDescription } from '../../src/archive/index.ts';
import type { BuildResult, IndexResult } from '../../src/jobs/index.ts';
import { openStore, readObject } from '../../src/objects/index.ts';
import { buildJson, commandError, commandJson, runCommand } from '../support/command-line.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { serviceSetting } from '../support/services.ts';
import { smallContext } from '../support/small-context.ts';
import { copyFromStore } from '../support/store-copy.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary-directory.ts';

const run = promisify(execFile);
const READER = join(import.meta.dirname, '../../.clipyard/bin/clip-reader');
const signal = AbortSignal.timeout(300_000);
const repository = `formats/${process.pid}`;
const registry = serviceSetting('CLIPYARD_REGISTRY');
const LOG_LINE = 'indexing from local OCI layout with remote storage reference';

let scratch: TemporaryDirectory;
let context: string;
let ours: BuildResult;

beforeAll(async () => {
  scratch = await temporaryDirectory('formats');
  context = await smallContext(join(scratch.path, 'context'));
  ours = await buildJson(flags('ours'));
});
afterAll(async () => {
  await scratch[Symbol.asyncDispose]();
});

function flags(imageId: string, at = registry): readonly string[] {
  const id = `${imageId}_${process.pid}`;
  return ['--context', context, '--workspace', 'formats', '--image-id', id, '--registry', `${at}/${repository}`];
}

async function storedBytes(key: string, store = serviceSetting('CLIPYARD_STORE')): Promise<Buffer> {
  await using opened = openStore(store, process.env);
  return Buffer.from((await readObject(opened, key, { signal, maxBytes: 1 << 26 })).bytes);
}

const sha256 = (bytes: Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

test('a build with --archive-format v1 pushes the same image and publishes an archive with the files inside', async () => {
  const v1 = await buildJson([...flags('v1'), '--archive-format', 'v1']);
  expect(v1.manifestDigest).toBe(ours.manifestDigest);
  expect(v1.layers.map(({ digest }) => digest)).toEqual(ours.layers.map(({ digest }) => digest));
  const [archive] = v1.archives;
  const pointer = JSON.parse(String(await storedBytes(`images/formats/v1_${process.pid}.json`))) as object;
  expect(pointer).toMatchObject({ archives: { 'linux/amd64': { digest: archive?.digest } } });
  expect(JSON.stringify(pointer)).not.toContain('footerDigest');

  const path = await copyFromStore(archive?.uri ?? '', join(scratch.path, 'v1.clip'));
  expect(sha256(await readFile(path))).toBe(archive?.digest);
  const { counts, kind } = await commandJson<ArchiveDescription>(['inspect', path]);
  expect({ kind, entries: counts.entries }).toEqual({ kind: 'clip-v1', entries: ours.archives[0]?.entries });
  expect(await commandJson(['verify', path])).toMatchObject({ ok: true, kind: 'clip-v1' });
  const oursPath = await copyFromStore(ours.archives[0]?.uri ?? '', join(scratch.path, 'ours.clip'));
  expect(await commandJson(['ls', path, '/data'])).toEqual(await commandJson(['ls', oursPath, '/data']));

  // The stock reader needs nothing but the file.
  const { stdout } = await run(READER, ['read', path, '/srv/linked', '/data/message']);
  const read = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { Bytes: string });
  expect(read.map(({ Bytes }) => Buffer.from(Bytes, 'base64').toString())).toEqual(['first', 'first']);
});

test('cat reads a V1 archive alone, follows links, and refuses bytes that are not what they were', async () => {
  const path = join(scratch.path, 'v1.clip');
  // Nothing is asked of a registry or a store.
  const offline = { CLIPYARD_REGISTRY: '127.0.0.1:1/x', CLIPYARD_STORE: 'file:///nowhere' };
  expect(await runCommand(['cat', path, '/srv/linked'], offline)).toMatchObject({ exitCode: 0, stdout: 'first' });
  expect((await runCommand(['cat', path, '/bin/stamp'], offline)).stdout).toBe(
    await readFile(join(context, 'stamp'), 'utf8'),
  );
  expect(await commandError(['cat', path, '/data'])).toMatchObject({ code: 'NOT_A_REGULAR_FILE' });
  expect(await commandError(['cat', path, '/no'])).toMatchObject({ code: 'PATH_NOT_FOUND' });
  const damaged = await readFile(path);
  const at = damaged.indexOf(await readFile(join(context, 'stamp')));
  damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at);
  const damagedPath = join(scratch.path, 'damaged.clip');
  await writeFile(damagedPath, damaged);
  expect(await runCommand(['cat', damagedPath, '/bin/stamp'])).toMatchObject({ exitCode: 65, stdout: '' });
  expect(await commandError(['verify', damagedPath])).toMatchObject({ code: 'ARCHIVE_CORRUPT' });
});

test('a V1 archive that a build published mounts', async () => {
  const mountpoint = join(scratch.path, 'v1');
  await mkdir(mountpoint);
  await commandJson(['mount', `formats/v1_${process.pid}`, mountpoint, '--cache', join(scratch.path, 'cache')]);
  try {
    expect(await readFile(join(mountpoint, 'srv/linked'), 'utf8')).toBe('first');
  } finally {
    await commandJson(['umount', mountpoint]);
  }
});

test('index makes the V1 archive that the build made, from the layout and from the registry', async () => {
  const layout = join(scratch.path, 'layout');
  const built = await buildJson([...flags('v1'), '--archive-format', 'v1', '--layout', layout]);
  const index = async (from: string, name: string) => {
    const output = join(scratch.path, name);
    const args = ['--from', from, '--storage-ref', ours.storageRef, '--archive-format', 'v1', '--output', output];
    return (await commandJson<IndexResult>(['index', ...args])).archive;
  };
  const [fromLayout, fromRegistry] = [
    await index(`oci:${layout}:latest`, 'a.clip'),
    await index(`docker://${ours.storageRef}`, 'b.clip'),
  ];
  expect(fromLayout.digest).toBe(built.archives[0]?.digest);
  expect(fromRegistry.digest).toBe(fromLayout.digest);
});

test('indexing from the registry after the push gives the same archive and image, and fetches every layer', async () => {
  await using proxy = await FaultProxy.start(registry);
  const legacy = await runCommand(['--json', 'build', ...flags('ours'), '--index-from', 'registry']);
  expect(legacy.exitCode, legacy.stderr).toBe(0);
  const result = JSON.parse(legacy.stdout) as BuildResult;
  expect(result.manifestDigest).toBe(ours.manifestDigest);
  expect(result.archives).toEqual(ours.archives);
  expect(legacy.stderr).not.toContain(LOG_LINE);

  const layout = await runCommand(['--json', 'build', ...flags('ours', proxy.address)]);
  expect(layout.stderr).toContain(LOG_LINE);
  const gets = () =>
    proxy
      .takeRequests()
      .filter(({ method, path }) => method === 'GET' && path.includes('/blobs/'))
      .map(({ path }) => path.slice(path.indexOf('sha256:')));
  expect(gets()).toEqual([]);
  await buildJson([...flags('ours', proxy.address), '--index-from', 'registry']);
  expect(gets()).toEqual(expect.arrayContaining(ours.layers.map(({ digest }) => digest)));
});

test.for(['s3', 'file'] as const)('--also-as names the archive a second time in a store of kind %s', async (kind) => {
  const store = kind === 's3' ? serviceSetting('CLIPYARD_STORE') : `file://${join(scratch.path, 'store')}`;
  const name = `second/${process.pid}/web.rclip`;
  const args = [...flags('second'), '--store', store];
  const named = await buildJson([...args, '--also-as', name]);
  expect(sha256(await storedBytes(name, store))).toBe(named.archives[0]?.digest);
  // Another build takes the name over.
  const v1 = await buildJson([...args, '--also-as', name, '--archive-format', 'v1']);
  expect(v1.archives[0]?.digest).not.toBe(named.archives[0]?.digest);
  expect(sha256(await storedBytes(name, store))).toBe(v1.archives[0]?.digest);
  for (const taken of [`second/${process.pid}`, `${name}/below`]) {
    const generation = async () =>
      (
        JSON.parse(String(await storedBytes(`images/formats/second_${process.pid}.json`, store))) as {
          generation: number;
        }
      ).generation;
    const before = await generation();
    expect((await commandError(['build', ...args, '--also-as', taken])).code).toBe('STORE_CONFLICT');
    expect(await generation()).toBe(before); // the pointer moves after the second name
  }
});

test.for([
  ['archives/x.clip', 'linux/amd64'],
  ['x', 'linux/amd64,linux/arm64'],
])('--also-as %s for platforms %s is refused before anything is built', async ([name, platform]) => {
  const refused = ['--buildkit', 'unix:///nowhere', '--platform', platform!, '--also-as', name!];
  expect(await commandError(['build', ...flags('refused'), ...refused])).toMatchObject({ code: 'USAGE', exitCode: 64 });
});

test('an image without any layer is built, and indexed by both engines', async () => {
  const empty = join(scratch.path, 'empty');
  await smallContext(empty);
  await writeFile(join(empty, 'Dockerfile'), 'FROM scratch\n');
  const built = await buildJson([...flags('empty'), '--context', empty]);
  expect(built.layers).toEqual([]);
  const layout = join(scratch.path, 'null-layers');
  await run('skopeo', ['copy', '--src-tls-verify=false', `docker://${built.storageRef}`, `oci:${layout}:latest`]);
  await withNullLayers(layout);
  for (const engine of ['native', 'portable']) {
    const output = join(scratch.path, `${engine}.clip`);
    const args = ['--from', `oci:${layout}:latest`, '--storage-ref', built.storageRef, '--engine', engine];
    expect(await commandJson(['index', ...args, '--output', output])).toMatchObject({ archive: { entries: 1 } });
    expect(await commandJson(['verify', output])).toMatchObject({ ok: true, entries: 1 });
  }
});

/** Writes the manifest as Go writes one without layers. */
async function withNullLayers(layout: string): Promise<void> {
  const index = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as {
    manifests: { digest: string; size: number }[];
  };
  const [entry] = index.manifests;
  const blob = (digest: string) => join(layout, 'blobs/sha256', digest.slice('sha256:'.length));
  const manifest = JSON.parse(await readFile(blob(entry!.digest), 'utf8')) as object;
  const bytes = Buffer.from(JSON.stringify({ ...manifest, layers: null }));
  await writeFile(blob(sha256(bytes)), bytes);
  Object.assign(entry!, { digest: sha256(bytes), size: bytes.length });
  await writeFile(join(layout, 'index.json'), JSON.stringify(index));
}
