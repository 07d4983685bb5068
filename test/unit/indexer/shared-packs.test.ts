import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { nameOfKey, SharedPacks } from '../../../src/indexer/index.ts';
import { type ObjectStore, openStore } from '../../../src/objects/index.ts';
import { cacheOf, packOf, putPack } from '../../support/pack-cache.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

let directory: TemporaryDirectory;
let store: ObjectStore;
let warnings: string[];

beforeEach(async () => {
  directory = await temporaryDirectory();
  store = openStore(`file://${join(directory.path, 'store')}`, {});
  warnings = [];
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

const { key, layer } = packOf('a');
const shared = () =>
  new SharedPacks(store, pino({ level: 'warn' }, { write: (line: string) => void warnings.push(line) }));
/** A machine of its own. */
const machine = (name: string) => cacheOf(join(directory.path, name), 'job', shared());

async function putByFirstMachine(): Promise<void> {
  await using cache = await machine('one');
  await putPack(cache, 'a');
}

const objects = async () =>
  (await readdir(join(directory.path, 'store'), { recursive: true })).filter((name) =>
    /packs\/|pack-indexes\//.test(name),
  );

test('what one machine packed another one finds, index and description, without the blob', async () => {
  await putByFirstMachine();
  await using cache = await machine('two');
  const entry = await cache.get(key);
  expect(entry).toMatchObject({ layer, blobPath: undefined });
  expect(await readFile(entry?.indexPath ?? '', 'utf8')).toBe('index of a');
  expect(warnings).toEqual([]);
  await rm(join(directory.path, 'store'), { recursive: true });
  expect(await (await cacheOf(join(directory.path, 'two'), 'next')).get(key)).toMatchObject({ layer });
});

test('the same entry put twice is no failure', async () => {
  await putByFirstMachine();
  await rm(join(directory.path, 'one'), { recursive: true });
  await putByFirstMachine();
  expect(warnings).toEqual([]);
});

test.for(['packs', 'pack-indexes'])(
  'what is damaged under %s is a warning and a miss, and makes room',
  async (kind) => {
    await putByFirstMachine();
    const damaged = (await objects()).find((name) => name.startsWith(`${kind}/`)) ?? '';
    const path = join(directory.path, 'store', damaged);
    await writeFile(path, (await readFile(path, 'utf8')).replace('a', 'x'));
    await using cache = await machine('two');
    expect(await cache.get(key)).toBeUndefined();
    expect(warnings.length).toBe(1);
    await putPack(cache, 'a');
    await cache[Symbol.asyncDispose]();
    expect(await (await machine('three')).get(key)).toMatchObject({ layer });
  },
);

test('a store that fails is a warning once, and left alone', async () => {
  // Nobody listens at port 1.
  const env = { AWS_ENDPOINT_URL: 'http://127.0.0.1:1', AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' };
  store = openStore('s3://bucket/packs', env);
  await using cache = await machine('one');
  expect(await cache.get(key)).toBeUndefined();
  expect(await cache.get(packOf('b').key)).toBeUndefined();
  await putPack(cache, 'a');
  await cache[Symbol.asyncDispose]();
  expect(warnings.length).toBe(1);
  expect(JSON.parse(warnings[0] ?? '')).toMatchObject({ key: nameOfKey(key), msg: 'shared pack cache failed' });
});
