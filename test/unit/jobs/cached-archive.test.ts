import { access, mkdir, readdir, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { WorkerError } from '../../../src/errors/index.ts';
import {
  archivesDirectory,
  completeInPlaceOf,
  dropDamaged,
  replaceByComplete,
  takeCached,
} from '../../../src/jobs/cached-archive.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const { signal } = new AbortController();
const damage = new WorkerError('ARCHIVE_CORRUPT', 'damaged');

async function cacheWith(...names: readonly string[]) {
  const scratch = await temporaryDirectory('cached-archive');
  const directory = archivesDirectory(scratch.path);
  await mkdir(directory);
  for (const name of names) await writeFile(join(directory, name), name);
  return { cacheDir: scratch.path, at: (name: string) => join(directory, name), directory, scratch };
}

test('a damaged copy goes with its layer; what is not of the cache, or not damaged, stays', async () => {
  const { at, cacheDir, directory, scratch } = await cacheWith('a.v1.clip', 'a.v1.tar', 'b.clip');
  await using _scratch = scratch;
  const own = join(cacheDir, 'own.clip');
  await writeFile(own, 'own');
  expect(await dropDamaged(own, cacheDir, damage)).toBe(false);
  expect(await dropDamaged(at('b.clip'), cacheDir, new WorkerError('REGISTRY_DENIED', 'no'))).toBe(false);
  expect(await dropDamaged(at('a.v1.clip'), cacheDir, damage)).toBe(true);
  expect(await readdir(directory)).toEqual(['b.clip']);
  expect(await dropDamaged(at('a.v1.clip'), cacheDir, damage)).toBe(true); // another process was faster
  await access(own);
});

test('what is taken counts as used; a complete archive stands in for the one it was made of', async () => {
  const { at, scratch } = await cacheWith('fetched.clip', 'made.v1.clip');
  await using _scratch = scratch;
  const then = new Date(Date.now() - 3_600_000);
  await utimes(at('made.v1.clip'), then, then);
  expect(await completeInPlaceOf(at('fetched.clip'))).toBeUndefined();
  await replaceByComplete(at('fetched.clip'), at('made.v1.clip'), { signal });
  expect(await takeCached(at('fetched.clip'))).toBe(false);
  expect(await completeInPlaceOf(at('fetched.clip'))).toBe(at('made.v1.clip'));
  expect((await stat(at('made.v1.clip'))).mtimeMs).toBeGreaterThan(then.getTime() + 1000);
  await writeFile(at('fetched.link'), '../../escape');
  expect(await completeInPlaceOf(at('fetched.clip'))).toBeUndefined();
});
