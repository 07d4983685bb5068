import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BuildResult, IndexResult } from '../../src/jobs/index.ts';
import { commandJson, runCommand } from '../support/command-line.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { observeBuild } from '../support/job-events.ts';
import { serviceSetting } from '../support/services.ts';
import { smallContext } from '../support/small-context.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary-directory.ts';

const repository = `packs/${process.pid}`;

let scratch: TemporaryDirectory;
let context: string;
let builds = 0;

beforeAll(async () => {
  scratch = await temporaryDirectory('packs');
  context = await smallContext(join(scratch.path, 'context'));
});
afterAll(async () => {
  await scratch[Symbol.asyncDispose]();
});

/** A state directory of its own: another machine, as far as caches go. */
const machine = (name: string) => ({ CLIPYARD_STATE: join(scratch.path, name) });
const packs = (name: string, ...path: readonly string[]) => join(scratch.path, name, 'packs', ...path);

/** Every build is another image, so that nothing is left from an earlier landing. */
async function build(name: string, { to = repository, extra = [] as readonly string[] } = {}) {
  const imageId = `p${process.pid}_${String(builds++)}`;
  const target = `${serviceSetting('CLIPYARD_REGISTRY')}/${to}`;
  const args = ['--context', context, '--workspace', 'packs', '--image-id', imageId, '--registry', target, ...extra];
  return await observeBuild(args, machine(name));
}

const how = ({ layers }: BuildResult) => layers.map(({ packed, pushed }) => [packed, pushed].join(' '));
const all = (text: string) => Array.from({ length: 4 }, () => text);

async function flipMiddleByte(path: string): Promise<void> {
  const bytes = await readFile(path);
  const middle = bytes.length >> 1;
  bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle);
  await writeFile(path, bytes);
}

describe('damage', () => {
  let first: BuildResult;
  beforeAll(async () => {
    first = (await build('one')).result;
    expect(how(first)).toEqual(all('new sent'));
  });

  test('a damaged index is dropped and made again; the build ends well', async () => {
    const [entry = ''] = await readdir(packs('one', 'packs'));
    await flipMiddleByte(packs('one', 'packs', entry, 'index'));
    expect((await runCommand(['cache', 'verify'], machine('one'))).exitCode).toBe(65);
    const { result, warnings } = await build('one');
    expect(result.manifestDigest).toBe(first.manifestDigest);
    expect(result.archives.map(({ sizeBytes }) => sizeBytes)).toEqual(first.archives.map(({ sizeBytes }) => sizeBytes));
    expect(how(result).toSorted()).toEqual([...all('cached present').slice(1), 'new present']);
    expect(warnings).toContain('the pack cache was damaged; packing again');
    expect(await commandJson(['cache', 'verify'], machine('one'))).toMatchObject({ ok: true, entries: 4, blobs: 4 });
  });

  test('a damaged blob that the registry refuses is dropped, packed and pushed again', async () => {
    const [largest] = first.layers.toSorted((a, b) => b.sizeBytes - a.sizeBytes);
    await flipMiddleByte(packs('one', 'blobs', largest?.digest.slice(7) ?? ''));
    const { result, warnings } = await build('one', { to: `${repository}/refusing` });
    expect(result.manifestDigest).toBe(first.manifestDigest);
    expect(
      result.layers.filter(({ packed }) => packed === 'new').map(({ digest, pushed }) => [digest, pushed]),
    ).toEqual([[largest?.digest, 'sent']]);
    expect(warnings).toContain('the pack cache was damaged; packing again');
    expect(await commandJson(['cache', 'verify'], machine('one'))).toMatchObject({ ok: true });
  });

  test('a damaged blob that the registry has whole is fetched from there into a layout', async () => {
    const blob = first.layers[0]?.digest.slice(7) ?? '';
    await flipMiddleByte(packs('one', 'blobs', blob));
    const layout = join(scratch.path, 'layout');
    const { result } = await build('one', { extra: ['--layout', layout] });
    expect(how(result)).toEqual(all('cached present'));
    expect(
      (
        await runCommand(
          [
            'index',
            '--from',
            `oci:${layout}`,
            '--storage-ref',
            result.storageRef,
            '--output',
            join(scratch.path, 'a.clip'),
            '--no-cache',
          ],
          machine('one'),
        )
      ).exitCode,
    ).toBe(0);
    await commandJson(['cache', 'gc', '--max-size', '1GB'], machine('one'));
    expect(await runCommand(['--json', 'cache', 'verify', '--drop'], machine('one'))).toMatchObject({ exitCode: 65 });
  });
});

test('packs without blobs serve where the registry has them, and only there', async () => {
  await build('lean');
  await rm(packs('lean', 'blobs'), { recursive: true });
  expect(how((await build('lean')).result)).toEqual(all('cached present'));
  expect(how((await build('lean', { to: `${repository}/elsewhere` })).result)).toEqual(all('new sent'));
});

test('builds that share a cache at the same moment all end well', async () => {
  const results = await Promise.all([build('racing'), build('racing'), build('racing')]);
  expect(new Set(results.map(({ result }) => result.manifestDigest)).size).toBe(1);
  expect(await commandJson(['cache', 'verify'], machine('racing'))).toMatchObject({ ok: true, entries: 4 });
});

test('what one machine packed another one takes from the shared cache', async () => {
  const extra = ['--pack-cache-store', `${serviceSetting('CLIPYARD_STORE')}-packs-${process.pid}`];
  const one = await build('sharing-one', { extra });
  const two = await build('sharing-two', { extra });
  expect(how(two.result)).toEqual(all('cached present'));
  expect([...two.landed.values()].toSorted()).toEqual([...all('elsewhere'), 'link', 'link']);
  expect(two.result.archives[0]?.entries).toBe(one.result.archives[0]?.entries);
});

test('a shared cache that does not work is a warning', async () => {
  const { result, warnings } = await build('alone', { extra: ['--pack-cache-store', 's3://no-such-bucket-of-ours'] });
  expect(result.layers.length).toBe(4);
  // Said once; a busy machine may have others to give.
  expect(warnings.filter((warning) => warning === 'shared pack cache failed')).toHaveLength(1);
});

test('an image in a registry is indexed again without its layers; a damaged index costs that layer', async () => {
  const { result } = await build('pushing');
  await using proxy = await FaultProxy.start(serviceSetting('CLIPYARD_REGISTRY'));
  const from = `docker://${result.storageRef.replace(serviceSetting('CLIPYARD_REGISTRY'), proxy.address)}`;
  const index = async () => {
    proxy.takeRequests();
    const args = ['index', '--from', from, '--output', join(scratch.path, 'indexed.clip')];
    const { archive } = await commandJson<IndexResult>(args, machine('indexing'));
    const layers = result.layers.map(({ digest }) => digest);
    const fetched = proxy.takeRequests().filter(({ path }) => layers.some((digest) => path.endsWith(digest)));
    return { digest: archive.digest, fetched: fetched.length };
  };
  const first = await index();
  expect(first.fetched).toBe(4);
  expect(await index()).toEqual({ digest: first.digest, fetched: 0 });
  const [entry = ''] = await readdir(packs('indexing', 'packs'));
  await flipMiddleByte(packs('indexing', 'packs', entry, 'index'));
  expect(await index()).toEqual({ digest: first.digest, fetched: 0 }); // an archive that is there needs no index
  await rm(packs('indexing', 'archives'), { recursive: true });
  expect(await index()).toEqual({ digest: first.digest, fetched: 1 });
});

test('an archive made before is copied: same document, same bytes; damage or --no-cache make it again', async () => {
  const { result } = await build('pushed');
  const output = join(scratch.path, 'again.clip');
  const index = async (...extra: readonly string[]) => {
    const args = ['--json', 'index', '--from', `docker://${result.storageRef}`, '--output', output, ...extra];
    const { exitCode, stderr, stdout } = await runCommand(args, machine('again'));
    expect(exitCode, stderr).toBe(0);
    const { durationMs: _, layers, ...document } = JSON.parse(stdout) as IndexResult;
    const cached = layers.filter((layer) => layer.cached).length;
    const warned = stderr.includes('a cached archive was damaged');
    return { document, cached, warned, bytes: await readFile(output) };
  };
  const archives = async () => await readdir(packs('again', 'archives'));
  const first = await index();
  const [name = ''] = await archives();
  const cachedArchive = packs('again', 'archives', name, 'archive');
  expect(await readFile(cachedArchive)).toEqual(first.bytes);
  expect(await index()).toEqual({ ...first, cached: 4 });
  await writeFile(output, 'the file is its owner’s');
  expect(await index()).toEqual({ ...first, cached: 4 });
  await flipMiddleByte(cachedArchive);
  expect(await index('--no-cache')).toEqual(first);
  expect(await index()).toEqual({ ...first, cached: 4, warned: true });
  expect(await index()).toEqual({ ...first, cached: 4 });
  const { archives: listed } = await commandJson<{ archives: unknown[] }>(['cache', 'ls'], machine('again'));
  expect(listed).toMatchObject([{ key: name, digest: first.document.archive.digest, imageName: result.storageRef }]);
  expect(await commandJson(['cache', 'verify'], machine('again'))).toMatchObject({ ok: true, archives: 1 });
});

test('cache ls lists, gc keeps the most recently used, --dry-run changes nothing', async () => {
  await build('kept');
  interface Listing {
    readonly bytes: number;
    readonly entries: readonly { readonly key: string; readonly blobBytes?: number; readonly indexBytes: number }[];
  }
  const list = () => commandJson<Listing>(['cache', 'ls'], machine('kept'));
  const before = await list();
  expect(before.entries.length).toBe(4);
  const size = String(before.bytes - 1);
  const plan = await commandJson<{ blobs: string[]; freedBytes: number }>(
    ['cache', 'gc', '--max-size', size, '--dry-run'],
    machine('kept'),
  );
  expect(plan.blobs.length).toBe(1);
  expect(await list()).toEqual(before);
  expect(await commandJson(['cache', 'gc', '--max-size', size], machine('kept'))).toMatchObject({ blobs: plan.blobs });
  expect((await list()).bytes).toBe(before.bytes - plan.freedBytes);
  await commandJson(['cache', 'gc', '--max-size', '0'], machine('kept'));
  expect((await list()).entries).toEqual([]);
  expect((await runCommand(['cache', 'gc', '--help'])).stdout).toContain('clipyard cache gc --max-size');
});
