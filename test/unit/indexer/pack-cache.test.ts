import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { digestOf } from '../../../src/digest/index.ts';
import { DEFAULT_CHUNK_BYTES, type LayerResult, PackCache, type PackKey } from '../../../src/indexer/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const source = digestOf('plain layer');
const key: PackKey = {
  source,
  action: 'pack',
  encoder: 'index-1+zstd-1.5.7',
  compression: { codec: 'zstd', level: 1, chunkBytes: DEFAULT_CHUNK_BYTES },
};
const layer: LayerResult = {
  digest: digestOf('blob'),
  diffId: source,
  mediaType: 't',
  sizeBytes: 4,
  plainBytes: 11,
  entries: 1,
  chunks: 1,
  spans: 1,
  seekable: true,
  warnings: {},
};

async function putEntry(cache: PackCache, blob = 'blob'): Promise<void> {
  const scratch = await cache.scratch();
  await writeFile(scratch.index, 'index');
  await writeFile(scratch.blob, blob);
  await cache.put(key, layer, scratch);
}

test('what was put is found again, blob and index', async () => {
  await using directory = await temporaryDirectory();
  const cache = new PackCache(directory.path);
  expect(await cache.get(key)).toBeUndefined();
  await putEntry(cache);
  const entry = await new PackCache(directory.path).get(key);
  expect(entry?.layer).toEqual(layer);
  expect(await readFile(entry?.indexPath ?? '', 'utf8')).toBe('index');
  expect(await readFile(entry?.blobPath ?? '', 'utf8')).toBe('blob');
});

test('a second put of the same key keeps one whole entry and leaves no scratch', async () => {
  await using directory = await temporaryDirectory();
  const cache = new PackCache(directory.path);
  await Promise.all([putEntry(cache), putEntry(cache), putEntry(cache)]);
  expect((await cache.get(key))?.layer).toEqual(layer);
  await rm(join(directory.path, 'tmp'), { recursive: true });
});

test('a blob that was cleaned up leaves an entry without one; a blob of another size does not count', async () => {
  await using directory = await temporaryDirectory();
  const cache = new PackCache(directory.path);
  await putEntry(cache);
  const { blobPath = '' } = (await cache.get(key)) ?? {};
  await writeFile(blobPath, 'longer than it was');
  expect((await cache.get(key))?.blobPath).toBeUndefined();
  await rm(blobPath);
  expect(await cache.get(key)).toMatchObject({ blobPath: undefined });
});

test('an entry that a crash left half-written is a miss, and a new put replaces it', async () => {
  await using directory = await temporaryDirectory();
  const cache = new PackCache(directory.path);
  const broken = join(directory.path, 'packs', PackCache.keyOf(key));
  await mkdir(broken, { recursive: true });
  await writeFile(join(broken, 'layer.json'), '');
  expect(await cache.get(key)).toBeUndefined();
  await putEntry(cache);
  expect((await cache.get(key))?.layer).toEqual(layer);
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
  expect(new Set(keys.map((each) => PackCache.keyOf(each))).size).toBe(keys.length);
});

test('a kept layer does not care how new ones would be compressed', () => {
  const kept: PackKey = { ...key, action: 'keep' };
  expect(PackCache.keyOf({ ...kept, compression: { ...kept.compression, level: 9 } })).toBe(PackCache.keyOf(kept));
});
