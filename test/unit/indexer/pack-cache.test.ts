import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { digestOf, hexOf } from '../../../src/digest/index.ts';
import { collectPacks, nameOfKey, type PackKey } from '../../../src/indexer/index.ts';
import { cacheOf, indexOf, packOf, putPack } from '../../support/pack-cache.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

let directory: TemporaryDirectory;
let root: string;
beforeEach(async () => {
  directory = await temporaryDirectory();
  root = directory.path;
});
afterEach(async () => {
  await directory[Symbol.asyncDispose]();
});

const { key, layer } = packOf('a');
const signal = AbortSignal.timeout(60_000);

test('what was put is found again, blob and index', async () => {
  const cache = await cacheOf(root, 'first');
  expect(await cache.get(key)).toBeUndefined();
  await putPack(cache, 'a');
  const entry = await (await cacheOf(root, 'second')).get(key);
  expect(entry?.layer).toEqual(layer);
  expect(await readFile(entry?.indexPath ?? '', 'utf8')).toBe('index of a');
  expect(await readFile(entry?.blobPath ?? '', 'utf8')).toBe('blob of a');
});

test('puts of one key by many jobs at once keep one whole entry and leave no scratch', async () => {
  const caches = await Promise.all(Array.from({ length: 8 }, (_, at) => cacheOf(root, String(at))));
  await Promise.all(caches.map((cache) => putPack(cache, 'a')));
  expect((await (await cacheOf(root, 'reader')).get(key))?.layer).toEqual(layer);
  expect(await readdir(join(root, 'tmp'))).toEqual([]);
  expect(await readdir(join(root, 'packs'))).toEqual([nameOfKey(key)]);
});

test('a job keeps what it found or put when others drop and collect it', async () => {
  const [writer, reader] = [await cacheOf(root, 'writer'), await cacheOf(root, 'reader')];
  const put = await putPack(writer, 'a');
  const got = await reader.get(key);
  await collectPacks(root, { maxBytes: 0, signal });
  expect(await readdir(join(root, 'packs'))).toEqual([]);
  expect(await readdir(join(root, 'blobs'))).toEqual([]);
  for (const entry of [put, got]) {
    expect(await readFile(entry?.indexPath ?? '', 'utf8')).toBe('index of a');
    expect(await readFile(entry?.blobPath ?? '', 'utf8')).toBe('blob of a');
  }
});

test('a dropped entry is gone for others too; with its blob, when that is what was damaged', async () => {
  const cache = await cacheOf(root, 'one');
  await putPack(cache, 'a');
  await cache.drop(key);
  expect(await (await cacheOf(root, 'two')).get(key)).toBeUndefined();
  expect(await readdir(join(root, 'blobs'))).toEqual([hexOf(layer.digest)]);
  await putPack(cache, 'a');
  await cache.drop(key, { blob: layer.digest });
  expect(await readdir(join(root, 'blobs'))).toEqual([]);
  expect(await cache.get(key)).toBeUndefined();
});

test('what is put after a drop is whole, also for the job that used the damaged one', async () => {
  const cache = await cacheOf(root, 'one');
  await putPack(cache, 'a');
  await writeFile(join(root, 'packs', nameOfKey(key), 'index'), 'xndex of a');
  const reader = await cacheOf(root, 'two');
  expect(await readFile((await reader.get(key))?.indexPath ?? '', 'utf8')).toBe('xndex of a');
  await reader.drop(key);
  await putPack(reader, 'a');
  expect(await readFile((await reader.get(key))?.indexPath ?? '', 'utf8')).toBe(indexOf('a'));
});

test('a blob that was cleaned up leaves an entry without one; a blob of another size does not count', async () => {
  await putPack(await cacheOf(root, 'one'), 'a');
  const blob = join(root, 'blobs', hexOf(layer.digest));
  await writeFile(blob, 'longer than it was before');
  expect((await (await cacheOf(root, 'two')).get(key))?.blobPath).toBeUndefined();
  await rm(blob);
  expect(await (await cacheOf(root, 'three')).get(key)).toMatchObject({ layer, blobPath: undefined });
});

test.for<[what: string, spoil: (entry: string) => Promise<void>]>([
  ['its document is empty', (entry) => writeFile(join(entry, 'layer.json'), '')],
  ['its document is gone', (entry) => rm(join(entry, 'layer.json'))],
  ['its index is shorter', (entry) => writeFile(join(entry, 'index'), 'inde')],
  ['its index is gone', (entry) => rm(join(entry, 'index'))],
])('an entry is a miss when %s, and a new put replaces it', async ([, spoil]) => {
  await putPack(await cacheOf(root, 'one'), 'a');
  await spoil(join(root, 'packs', nameOfKey(key)));
  const cache = await cacheOf(root, 'two');
  expect(await cache.get(key)).toBeUndefined();
  await putPack(cache, 'a');
  expect((await (await cacheOf(root, 'three')).get(key))?.layer).toEqual(layer);
});

test('an entry under the name of another key is a miss', async () => {
  await putPack(await cacheOf(root, 'one'), 'a');
  const other = packOf('b').key;
  await mkdir(join(root, 'packs', nameOfKey(other)));
  for (const file of ['layer.json', 'index'])
    await writeFile(
      join(root, 'packs', nameOfKey(other), file),
      await readFile(join(root, 'packs', nameOfKey(key), file)),
    );
  expect(await (await cacheOf(root, 'two')).get(other)).toBeUndefined();
});

test('every part of a key makes another key', () => {
  const keys: PackKey[] = [
    key,
    { ...key, source: digestOf('other') },
    { ...key, action: 'keep' },
    { ...key, encoder: 'index-2' },
    { ...key, compression: { ...key.compression, codec: 'gzip' } },
    { ...key, compression: { ...key.compression, level: 2 } },
    { ...key, compression: { ...key.compression, chunkBytes: 4096 } },
  ];
  expect(new Set(keys.map(nameOfKey)).size).toBe(keys.length);
});

test('a kept layer does not care how new ones would be compressed', () => {
  const kept: PackKey = { ...key, action: 'keep' };
  expect(nameOfKey({ ...kept, compression: { ...kept.compression, level: 9 } })).toBe(nameOfKey(kept));
});
