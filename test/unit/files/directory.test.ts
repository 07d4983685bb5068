import { mkdir, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeDirectory } from '../../../src/files/index.ts';

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'clipyard-directory-'));
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

const isFolder = async (path: string) => (await stat(path)).isDirectory();

test('folders above are made, with the mode', async () => {
  const path = join(directory, 'a', 'b', 'c');
  await makeDirectory(path, { mode: 0o700 });
  expect((await stat(path)).mode & 0o777).toBe(0o700);
  expect((await stat(join(directory, 'a'))).mode & 0o777).toBe(0o700);
});

test('a folder that is there is success, also by a link, a trailing slash, or as the root', async () => {
  await mkdir(join(directory, 'there'));
  await symlink(join(directory, 'there'), join(directory, 'link'));
  for (const path of [join(directory, 'there'), join(directory, 'link'), `${directory}/there/`, '/', '.'])
    await makeDirectory(path);
});

test('many that make the same folders all succeed', async () => {
  const path = join(directory, 'x', 'y', 'z');
  await Promise.all(Array.from({ length: 16 }, () => makeDirectory(path)));
  expect(await isFolder(path)).toBe(true);
});

test('a file in the way is an error', async () => {
  const file = join(directory, 'file');
  await writeFile(file, '');
  await expect(makeDirectory(file)).rejects.toMatchObject({ code: 'EEXIST' });
  await expect(makeDirectory(join(file, 'below', 'it'))).rejects.toMatchObject({ code: 'ENOTDIR' });
});

test('a filesystem that takes no new folders is an error, not an endless loop', async () => {
  await expect(makeDirectory('/proc/clipyard')).rejects.toMatchObject({ code: 'ENOENT' });
  await expect(makeDirectory('/proc/clipyard/below/it')).rejects.toMatchObject({ code: 'ENOENT' });
});
