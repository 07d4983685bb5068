import { readdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { hexOf } from '../../../src/digest/index.ts';
import { collectPacks, listPacks, nameOfKey, verifyPacks } from '../../../src/indexer/index.ts';
import { blobOf, cacheOf, indexOf, packOf, putPack } from '../../support/pack-cache.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

const signal = AbortSignal.timeout(60_000);
const names = ['a', 'b', 'c'];
/** All names are of one length. */
const [indexBytes, blobBytes] = [indexOf('a').length, blobOf('a').length];

let directory: TemporaryDirectory;
let root: string;
/** Three packed layers; `a` was used first, `c` last. */
beforeEach(async () => {
  directory = await temporaryDirectory();
  root = directory.path;
  const cache = await cacheOf(root, 'job');
  for (const [at, name] of names.entries()) {
    await putPack(cache, name);
    await utimes(entryFile(name, 'layer.json'), 1000 + at, 1000 + at);
  }
});
afterEach(async () => {
  await directory[Symbol.asyncDispose]();
});

function entryFile(name: string, file: string): string {
  return join(root, 'packs', nameOfKey(packOf(name).key), file);
}

/** Which of the three have an entry, and which a blob. */
async function left(): Promise<{ entries: string; blobs: string }> {
  const [entries, blobs] = [await readdir(join(root, 'packs')), await readdir(join(root, 'blobs'))];
  return {
    entries: names.filter((name) => entries.includes(nameOfKey(packOf(name).key))).join(''),
    blobs: names.filter((name) => blobs.includes(hexOf(packOf(name).layer.digest))).join(''),
  };
}

test('entries are listed from the longest unused on; use counts', async () => {
  const order = async () =>
    (await listPacks(root)).map(({ document }) =>
      names.findIndex((name) => packOf(name).layer.digest === document?.layer.digest),
    );
  expect(await order()).toEqual([0, 1, 2]);
  await (await cacheOf(root, 'user')).get(packOf('a').key);
  expect(await order()).toEqual([1, 2, 0]);
});

test.for<[room: string, maxBytes: number, entries: string, blobs: string]>([
  ['for all', 3 * (indexBytes + blobBytes), 'abc', 'abc'],
  ['for all but a byte', 3 * (indexBytes + blobBytes) - 1, 'abc', 'bc'],
  ['for one blob', 3 * indexBytes + blobBytes, 'abc', 'c'],
  ['for indexes alone', 3 * indexBytes, 'abc', ''],
  ['for one index', indexBytes, 'c', ''],
  ['for nothing', 0, '', ''],
])('with room %s, what was unused for longest goes, blobs first', async ([, maxBytes, entries, blobs]) => {
  const plan = await collectPacks(root, { maxBytes, dryRun: true, signal });
  expect(await left()).toEqual({ entries: 'abc', blobs: 'abc' });
  expect(await collectPacks(root, { maxBytes, signal })).toEqual(plan);
  expect(await left()).toEqual({ entries, blobs });
  expect(plan.keptBytes).toBeLessThanOrEqual(maxBytes);
  expect(plan.keptBytes + plan.freedBytes).toBe(3 * (indexBytes + blobBytes));
});

test('broken entries go; files without an entry go when nobody can be about to name them', async () => {
  await writeFile(entryFile('a', 'layer.json'), '{');
  await writeFile(join(root, 'tmp', 'young.idx'), 'x');
  await writeFile(join(root, 'tmp', 'old.blob'), 'x');
  await utimes(join(root, 'tmp', 'old.blob'), 1000, 1000);
  expect(await collectPacks(root, { maxBytes: 1e9, signal })).toMatchObject({ temporaryFiles: 1 });
  expect(await left()).toEqual({ entries: 'bc', blobs: 'abc' });
  expect(await readdir(join(root, 'tmp'))).toEqual(['young.idx']);
  await utimes(join(root, 'blobs', hexOf(packOf('a').layer.digest)), 1000, 1000);
  await collectPacks(root, { maxBytes: 1e9, signal });
  expect(await left()).toEqual({ entries: 'bc', blobs: 'bc' });
});

test('verify finds every flipped byte; with drop what is damaged goes', async () => {
  expect(await verifyPacks(root, { signal })).toEqual({
    entries: 3,
    archives: 0,
    blobs: 3,
    bytes: 3 * (indexBytes + blobBytes),
    damaged: [],
  });
  await writeFile(entryFile('a', 'index'), indexOf('x'));
  await writeFile(join(root, 'blobs', hexOf(packOf('b').layer.digest)), blobOf('x'));
  await writeFile(entryFile('c', 'layer.json'), '{}');
  const report = await verifyPacks(root, { signal, drop: true });
  expect(new Set(report.damaged)).toEqual(
    new Set([
      { name: nameOfKey(packOf('a').key), part: 'index' },
      { name: hexOf(packOf('b').layer.digest), part: 'blob' },
      { name: nameOfKey(packOf('c').key), part: 'entry' },
    ]),
  );
  expect(await left()).toEqual({ entries: 'b', blobs: 'ac' });
  expect((await verifyPacks(root, { signal })).damaged).toEqual([]);
});

test('a cache that was never used is empty', async () => {
  const nowhere = join(root, 'nowhere');
  expect(await listPacks(nowhere)).toEqual([]);
  expect(await collectPacks(nowhere, { maxBytes: 0, signal })).toMatchObject({ freedBytes: 0, keptBytes: 0 });
  expect(await verifyPacks(nowhere, { signal })).toMatchObject({ entries: 0, damaged: [] });
});
