import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openStore } from '../../../src/objects/index.ts';
import { describeObjectStore } from '../../conformance/object-store.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

const signal = new AbortController().signal;
let directory: TemporaryDirectory;

beforeAll(async () => {
  directory = await temporaryDirectory('store');
});
afterAll(async () => {
  await directory[Symbol.asyncDispose]();
});

describeObjectStore('directory', async () => openStore(pathToFileURL(join(directory.path, 'conformance')).href, {}));

test('a failed write leaves nothing in the directory, not even a temporary file', async () => {
  const root = join(directory.path, 'failing');
  await using store = openStore(pathToFileURL(root).href, {});
  await store.put('a/b', 'first', { signal });
  await expect(store.put('a/b', 'second', { ifNoneMatch: '*', signal })).rejects.toMatchObject({
    code: 'STORE_CONFLICT',
  });
  const names = await readdir(root, { recursive: true });
  expect(names.toSorted()).toEqual(['.lock', '.tmp', 'a', 'a/b']);
});

test('the next writer removes what a killed one left a day ago, and nothing younger', async () => {
  const root = join(directory.path, 'sweeping');
  await mkdir(join(root, '.tmp'), { recursive: true });
  await writeFile(join(root, '.tmp/old.tmp'), 'x');
  await writeFile(join(root, '.tmp/new.tmp'), 'x');
  const twoDaysAgo = Date.now() / 1000 - 2 * 86_400;
  await utimes(join(root, '.tmp/old.tmp'), twoDaysAgo, twoDaysAgo);
  await using store = openStore(pathToFileURL(root).href, {});
  await store.put('a', 'x', { signal });
  expect(await readdir(join(root, '.tmp'))).toEqual(['new.tmp']);
});

test('a file below a file is a conflict', async () => {
  await using store = openStore(pathToFileURL(join(directory.path, 'below')).href, {});
  await store.put('a', 'x', { signal });
  await expect(store.put('a/b', 'x', { signal })).rejects.toMatchObject({ code: 'STORE_CONFLICT' });
});
