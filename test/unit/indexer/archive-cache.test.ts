import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { digestOf } from '../../../src/digest/index.ts';
import {
  ArchiveCache,
  type ArchiveInputs,
  type ArchiveKey,
  type AssembleResult,
  collectPacks,
  listArchives,
  nameOfArchiveKey,
  verifyPacks,
} from '../../../src/indexer/index.ts';
import { createLog } from '../../../src/telemetry/index.ts';
import { blobOf, cacheOf, indexOf, putPack } from '../../support/pack-cache.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

const signal = AbortSignal.timeout(60_000);
const log = createLog({ level: 'silent' });
const TOOL = digestOf('the tool');

let directory: TemporaryDirectory;
let root: string;
beforeEach(async () => {
  directory = await temporaryDirectory();
  root = join(directory.path, 'cache');
});
afterEach(async () => {
  await directory[Symbol.asyncDispose]();
});

function archives({ digest = TOOL, isCurrent = true } = {}): ArchiveCache {
  const tool = { digest, encoders: {}, isCurrent: () => Promise.resolve(isCurrent) };
  return new ArchiveCache({ root, tool, log, signal });
}

function inputsOf(name: string): ArchiveInputs {
  const digest = digestOf(name);
  return {
    format: 'clipyard',
    layers: [{ index: digest, digest, mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip' }],
    config: digest,
    manifest: digest,
    registry: 'registry.example',
    repository: 'team/web',
    reference: digest,
    imageName: `registry.example/team/web:${name}`,
  };
}

const bytesOf = (name: string) => `archive of ${name}`;
const resultOf = (name: string): AssembleResult => ({
  digest: digestOf(bytesOf(name)),
  sizeBytes: bytesOf(name).length,
  clipBytes: 1,
  entries: 2,
  mountBytes: 3,
  sections: [],
  warnings: { droppedOverlayXattrs: 4 },
});

async function put(name: string, cache = archives()): Promise<void> {
  const made = join(directory.path, `made-${name}`);
  await writeFile(made, bytesOf(name));
  await cache.put(inputsOf(name), resultOf(name), made);
}

const outputOf = (name: string) => join(directory.path, `output-${name}`);
const get = async (name: string, cache = archives()) => await cache.get(inputsOf(name), outputOf(name));
const entry = (name: string, file = '') =>
  join(root, 'archives', nameOfArchiveKey({ ...inputsOf(name), tool: TOOL }), file);

test('an archive that was put comes back whole, with all that was said of it', async () => {
  expect(await get('a')).toBeUndefined();
  await expect(stat(outputOf('a'))).rejects.toMatchObject({ code: 'ENOENT' });
  await put('a');
  expect(await get('a')).toEqual(resultOf('a'));
  expect(await readFile(outputOf('a'), 'utf8')).toBe(bytesOf('a'));
  expect(await readdir(join(root, 'tmp'))).toEqual([]);
});

test('who writes to an archive he was given, or gave, changes nothing in the cache', async () => {
  await put('a');
  await get('a');
  await writeFile(outputOf('a'), 'scribbled');
  await writeFile(join(directory.path, 'made-a'), 'scribbled');
  expect(await get('a')).toEqual(resultOf('a'));
  expect(await readFile(outputOf('a'), 'utf8')).toBe(bytesOf('a'));
});

test.for<[what: string, damage: (name: string) => Promise<void>]>([
  ['a flipped byte', (name) => writeFile(entry(name, 'archive'), bytesOf(name).toUpperCase())],
  ['a cut archive', (name) => writeFile(entry(name, 'archive'), bytesOf(name).slice(0, -1))],
  [
    'a document of another archive',
    async (name) => {
      await put('b');
      await writeFile(entry(name, 'archive.json'), await readFile(entry('b', 'archive.json')));
    },
  ],
  ['an unreadable document', (name) => writeFile(entry(name, 'archive.json'), '{')],
  [
    'an empty folder',
    async (name) => {
      await rm(entry(name), { recursive: true });
      await mkdir(entry(name));
    },
  ],
])('%s is never served, and the next put heals it', async ([, damage]) => {
  await put('a');
  await damage('a');
  expect(await get('a')).toBeUndefined();
  await expect(stat(outputOf('a'))).rejects.toMatchObject({ code: 'ENOENT' });
  await put('a');
  expect(await get('a')).toEqual(resultOf('a'));
});

test('every input is part of the key', () => {
  const other = digestOf('another');
  const key: ArchiveKey = { ...inputsOf('a'), tool: TOOL };
  const [layer] = key.layers as [ArchiveKey['layers'][number]];
  const layers = (changed: Partial<typeof layer>) => ({ ...key, layers: [{ ...layer, ...changed }] });
  const keys: ArchiveKey[] = [
    key,
    { ...key, tool: other },
    { ...key, format: 'v1' },
    { ...key, layers: [] },
    { ...key, layers: [layer, layer] },
    layers({ index: other }),
    layers({ digest: other }),
    layers({ mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip' }),
    { ...key, config: other },
    { ...key, manifest: other },
    { ...key, registry: 'registry.example/team', repository: 'web' },
    { ...key, repository: 'team/other' },
    { ...key, reference: other },
    { ...key, imageName: 'other' },
  ];
  expect(new Set(keys.map(nameOfArchiveKey)).size).toBe(keys.length);
});

test('another tool makes its own archives; one that was replaced meanwhile puts none', async () => {
  await put('a');
  expect(await get('a', archives({ digest: digestOf('another tool') }))).toBeUndefined();
  const replaced = archives({ isCurrent: false });
  await put('b', replaced);
  expect(replaced.grew).toBe(false);
  expect(await get('b')).toBeUndefined();
});

test('an archive that cannot be cached fails nothing', async () => {
  await writeFile(root, 'no folder');
  await put('a');
  expect(await get('a')).toBeUndefined();
});

test('archives are listed from the longest unused on; use counts', async () => {
  for (const [at, name] of ['a', 'b'].entries()) {
    await put(name);
    await utimes(entry(name, 'archive.json'), 1000 + at, 1000 + at);
  }
  const order = async () => (await listArchives(root)).map(({ document }) => document?.key.imageName.at(-1)).join('');
  expect(await order()).toBe('ab');
  await get('a');
  expect(await order()).toBe('ba');
});

test.for<[room: string, spareBytes: number, left: string]>([
  ['for all', 0, 'pack blob ab'],
  ['for all but a byte', -1, 'pack blob b'],
  ['for no more than the blob and the last archive', -bytesOf('a').length, 'pack blob b'],
  ['for no blob', -bytesOf('a').length - 1, 'pack b'],
  ['for the index alone', -2 * bytesOf('a').length - blobOf('p').length, 'pack '],
])('with room %s, the longest unused of archives and blobs goes first, then indexes', async ([, spareBytes, left]) => {
  await putPack(await cacheOf(root, 'job'), 'p');
  const [pack = ''] = await readdir(join(root, 'packs'));
  await put('a');
  await utimes(entry('a', 'archive.json'), 1000, 1000);
  await utimes(join(root, 'packs', pack, 'layer.json'), 1001, 1001);
  await put('b');
  const all = indexOf('p').length + blobOf('p').length + 2 * bytesOf('a').length;
  const plan = await collectPacks(root, { maxBytes: all + spareBytes, signal });
  expect(plan.keptBytes + plan.freedBytes).toBe(all);
  const names = async (folder: string) => await readdir(join(root, folder));
  const kept = (await listArchives(root)).map(({ document }) => document?.key.imageName.at(-1)).toSorted();
  const parts = [...(await names('packs')).map(() => 'pack '), ...(await names('blobs')).map(() => 'blob '), ...kept];
  expect(parts.join('')).toBe(left);
});

test('verify finds a damaged archive and gc a broken one', async () => {
  await put('a');
  await put('b');
  expect(await verifyPacks(root, { signal })).toMatchObject({
    archives: 2,
    bytes: 2 * bytesOf('a').length,
    damaged: [],
  });
  await writeFile(entry('a', 'archive'), bytesOf('x'));
  await writeFile(entry('b', 'archive.json'), '{}');
  const names = ['a', 'b'].map((name) => nameOfArchiveKey({ ...inputsOf(name), tool: TOOL }));
  const { damaged } = await verifyPacks(root, { signal, drop: false });
  expect(new Set(damaged)).toEqual(new Set(names.map((name) => ({ name, part: 'archive' }))));
  expect((await collectPacks(root, { maxBytes: 1e9, signal })).archives).toEqual([names[1]]);
  await verifyPacks(root, { signal, drop: true });
  expect(await listArchives(root)).toEqual([]);
});
