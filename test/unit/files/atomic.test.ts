import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { digestOf, verify } from '../../../src/digest/index.ts';
import { stageFile, writeFileAtomically } from '../../../src/files/index.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

const signal = new AbortController().signal;
let directory: TemporaryDirectory;
let path: string;

beforeEach(async () => {
  directory = await temporaryDirectory('atomic');
  path = join(directory.path, 'file');
});
afterEach(async () => {
  await directory[Symbol.asyncDispose]();
});

test('a file is written whole, and replaces another one', async () => {
  await writeFileAtomically(path, 'one', { signal });
  await writeFileAtomically(path, Readable.from([Buffer.from('t'), Buffer.from('wo')]), { signal });
  expect(await readFile(path, 'utf8')).toBe('two');
  expect(await readdir(directory.path)).toEqual(['file']);
});

test('a write that fails leaves the old file and nothing else', async () => {
  await writeFile(path, 'old');
  const wrong = verify({ digest: digestOf('other'), sizeBytes: 3 });
  await expect(writeFileAtomically(path, 'new', { signal, through: wrong })).rejects.toMatchObject({
    code: 'BLOB_MISMATCH',
  });
  const failure = new Error('source failed');
  const failing = new Readable({
    read() {
      this.destroy(failure);
    },
  });
  await expect(writeFileAtomically(path, failing, { signal })).rejects.toBe(failure);
  await expect(writeFileAtomically(path, 'new', { signal: AbortSignal.abort() })).rejects.toMatchObject({
    name: 'AbortError',
  });
  expect(await readFile(path, 'utf8')).toBe('old');
  expect(await readdir(directory.path)).toEqual(['file']);
});

test('an exclusive write does not replace', async () => {
  await writeFileAtomically(path, 'one', { signal, exclusive: true });
  await expect(writeFileAtomically(path, 'two', { signal, exclusive: true })).rejects.toMatchObject({ code: 'EEXIST' });
  expect(await readFile(path, 'utf8')).toBe('one');
  expect(await readdir(directory.path)).toEqual(['file']);
});

test('a staged file that is not published is gone', async () => {
  {
    await using staged = await stageFile(directory.path, 'x', { signal });
    expect(await readFile(staged.path, 'utf8')).toBe('x');
  }
  expect(await readdir(directory.path)).toEqual([]);
});
