import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checkResultDirectory } from '../../../src/jobs/result-layout.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

test.for<[what: string, files: readonly string[]]>([
  ['an empty folder', []],
  ['a layout', ['oci-layout', 'index.json', 'README']],
  ['what a killed build left of a layout', ['.lock', 'index.json']],
])('%s may become the result', async ([, files]) => {
  await using directory = await temporaryDirectory();
  for (const name of files) await writeFile(join(directory.path, name), '');
  await checkResultDirectory(directory.path);
  await checkResultDirectory(join(directory.path, 'new'));
});

test("a folder with somebody's files, and a file, are refused", async () => {
  await using directory = await temporaryDirectory();
  await mkdir(join(directory.path, 'blobs'));
  await writeFile(join(directory.path, 'thesis.txt'), '');
  await expect(checkResultDirectory(directory.path)).rejects.toMatchObject({ code: 'LAYOUT_INVALID' });
  await expect(checkResultDirectory(join(directory.path, 'thesis.txt'))).rejects.toMatchObject({
    code: 'LAYOUT_INVALID',
  });
});
