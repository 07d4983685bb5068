import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { digestOf } from '../../../src/digest/index.ts';
import { openStore } from '../../../src/objects/index.ts';
import { OciLayout } from '../../../src/oci/index.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

const signal = new AbortController().signal;
let directory: TemporaryDirectory;

beforeEach(async () => {
  directory = await temporaryDirectory('full');
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', directory.path]);
});
afterEach(async () => {
  execFileSync('umount', [directory.path]);
  await directory[Symbol.asyncDispose]();
});

const large = randomBytes(2 * 1024 * 1024);

async function filesBelow(path: string): Promise<readonly string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
}

test('a full disk under a layout is DISK_FULL, leaves no part, and the layout goes on', async () => {
  const layout = await OciLayout.open(directory.path, { create: true, signal });
  await expect(
    layout.addBlob(large, { digest: digestOf(large), sizeBytes: large.length }, { signal }),
  ).rejects.toMatchObject({ code: 'DISK_FULL' });
  expect((await filesBelow(directory.path)).toSorted()).toEqual(['index.json', 'oci-layout']);
  const small = randomBytes(1000);
  await layout.addBlob(small, { digest: digestOf(small), sizeBytes: small.length }, { signal });
  const manifest = await layout.putManifest(Buffer.from('{}'), 'application/vnd.test', { signal });
  await layout.setTag('latest', manifest, { signal });
  expect((await layout.resolve()).digest).toBe(manifest.digest);
});

test('a full disk under a store is DISK_FULL, leaves no part, and the old object stays', async () => {
  await using store = openStore(pathToFileURL(directory.path).href, {});
  await store.put('a/b', 'old', { signal });
  await using elsewhere = await temporaryDirectory('source');
  const path = join(elsewhere.path, 'file');
  await writeFile(path, large);
  await expect(store.put('a/b', large, { signal })).rejects.toMatchObject({ code: 'DISK_FULL' });
  await expect(store.putFile('a/b', path, { signal })).rejects.toMatchObject({ code: 'DISK_FULL' });
  expect((await store.head('a/b', { signal }))?.sizeBytes).toBe(3);
  expect((await filesBelow(directory.path)).toSorted()).toEqual(['.lock', 'b']);
});
