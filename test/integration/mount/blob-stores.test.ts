import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { commandError, commandJson, runCommand } from '../../support/command-line.ts';
import { tarStream } from '../../support/corpus/index.ts';
import { layoutOf, type MadeArchive, makeArchive } from '../../support/native/index.ts';
import { putBlobs } from '../../support/published-archive.ts';
import { serviceSetting } from '../../support/services.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

let scratch: TemporaryDirectory;
let archive: MadeArchive;
const content = Buffer.alloc(600_000, 'what is in the store\n');

beforeAll(async () => {
  scratch = await temporaryDirectory('blob-stores');
  const layer = tarStream([{ name: 'file', type: '0', data: content, mode: 0o644 }]);
  archive = await makeArchive(await layoutOf(scratch.path, [layer]), {
    dir: scratch.path,
    codec: 'zstd',
    name: 'stores',
    registry: '127.0.0.1:1',
    repository: 'nowhere/stores',
  });
});
afterAll(() => scratch[Symbol.asyncDispose]());

const mountFrom = async (url: string, label: string) => {
  const root = join(scratch.path, label);
  await mkdir(root, { recursive: true });
  await commandJson(['mount', '--cache', join(scratch.path, `${label}-cache`), '--blobs', url, archive.path, root]);
  return {
    root,
    [Symbol.asyncDispose]: async () => {
      await commandJson(['umount', root]);
    },
  };
};

test('a mount reads its blobs from a bucket, and shows the keys to it nowhere', async () => {
  const url = `${serviceSetting('CLIPYARD_STORE')}/blob-stores-${process.pid}`;
  await putBlobs(archive, url);
  await using mount = await mountFrom(url, 'bucket');
  expect((await readFile(join(mount.root, 'file'))).equals(content)).toBe(true);
  const stat = await commandJson<{ readonly requests: number }>(['stat', mount.root]);
  expect(stat.requests).toBeGreaterThan(0);
  const shown = JSON.stringify([stat, await commandJson(['mounts'])]);
  const secret = String(process.env['AWS_SECRET_ACCESS_KEY']);
  expect(secret.length).toBeGreaterThan(4);
  expect(shown).not.toContain(secret);
});

test('cat and verify --deep read blobs from a folder, too', async () => {
  const url = `file://${join(scratch.path, 'for-cat')}`;
  const where = (label: string) => ['--blobs', url, '--cache', join(scratch.path, label)];
  await mkdir(join(scratch.path, 'for-cat'));
  expect((await commandError(['cat', archive.path, '/file', ...where('cat-1')])).code).toBe('LAYER_NOT_FOUND');
  await putBlobs(archive, url);
  const { stdout } = await runCommand(['cat', archive.path, '/file', ...where('cat-2')]);
  expect(stdout === content.toString()).toBe(true);
  const { deep } = await commandJson<{ readonly deep: object }>(['verify', '--deep', archive.path, ...where('cat-3')]);
  expect(deep).toMatchObject({ layers: 1 });
});

test('a blob that is not in the folder is LAYER_NOT_FOUND until it is put there', async () => {
  const folder = join(scratch.path, 'store');
  await mkdir(folder);
  await using mount = await mountFrom(`file://${folder}`, 'folder');
  await expect(readFile(join(mount.root, 'file'))).rejects.toThrow('EIO');
  expect(JSON.stringify(await commandJson(['stat', mount.root]))).toContain('LAYER_NOT_FOUND');
  await putBlobs(archive, `file://${folder}`);
  expect((await readFile(join(mount.root, 'file'))).equals(content)).toBe(true);
  await rm(folder, { recursive: true });
});

test('what is no store is refused before anything is mounted', async () => {
  const root = join(scratch.path, 'refused');
  await mkdir(root);
  await expect(commandJson(['mount', '--blobs', 'http://host/x', archive.path, root])).rejects.toThrow(
    'CONFIG_INVALID',
  );
});
