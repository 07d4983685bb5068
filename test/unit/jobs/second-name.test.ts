import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { digestOf } from '../../../src/digest/index.ts';
import { parseSecondName, putSecondName } from '../../../src/jobs/second-name.ts';
import { openStore } from '../../../src/objects/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const { signal } = new AbortController();

test.for(['web.rclip', 'team/web.rclip', 'archives.rclip', 'a/archives/x'])('%s is a second name', (name) => {
  expect(parseSecondName(name)).toBe(name);
});

test.for([
  'archives/x.clip',
  'archives',
  'images/team/web.json',
  'manifests/x',
  'packs/x',
  'pack-indexes/x',
  '../x',
  'a/../../x',
  '/x',
  'x/',
  'a//b',
  './a',
  '.hidden',
  'a\nb',
  'a\\b',
  '',
  'x'.repeat(1000),
])('%j is none', (name) => {
  expect(() => parseSecondName(name)).toThrow(expect.objectContaining({ code: 'USAGE' }));
});

test('a name is never a folder of another, and what stands under it is replaced', async () => {
  await using scratch = await temporaryDirectory('second-name');
  await using store = openStore(pathToFileURL(join(scratch.path, 'store')).href, {});
  await mkdir(join(scratch.path, 'files'));
  const put = async (name: string, content: string) => {
    const path = join(scratch.path, 'files', 'archive');
    await writeFile(path, content);
    const archive = { path, sha256: digestOf(content), contentType: 'application/octet-stream' };
    await putSecondName(store, name, archive, { signal });
  };
  await put('a/b', 'one');
  await put('a/b', 'two');
  expect(await readFile(join(scratch.path, 'store/a/b'), 'utf8')).toBe('two');
  const conflict = expect.objectContaining({ code: 'STORE_CONFLICT' }) as Error;
  await expect(put('a', 'x')).rejects.toThrow(conflict);
  await expect(put('a/b/c', 'x')).rejects.toThrow(conflict);
  await put('a/bc', 'three');
});
