import { rename, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { commandError, commandJson, runCommand } from '../support/command-line.ts';
import { tarStream } from '../support/corpus/index.ts';
import { layoutOf } from '../support/native/index.ts';
import { umociUnpack } from '../support/oracle/index.ts';
import { publishArchive } from '../support/published-archive.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary-directory.ts';

let scratch: TemporaryDirectory;
let archive = '';
let unpacked = '';

beforeAll(async () => {
  scratch = await temporaryDirectory('against');
  const layer = tarStream([
    { name: 'dir/', type: '5', mode: 0o750, uid: 7 },
    { name: 'dir/file', type: '0', data: 'content', mode: 0o4755, xattrs: { 'user.a': 'b' } },
    { name: 'dir/again', type: '1', linkName: 'dir/file' },
    { name: Buffer.from('dir/\xff\n', 'latin1'), type: '0', data: 'odd' },
  ]);
  const layout = await layoutOf(scratch.path, [layer], 'gzip');
  archive = (await publishArchive(layout, { dir: scratch.path, codec: 'keep', name: 'against' })).path;
  unpacked = await umociUnpack(layout.dir, join(scratch.path, 'bundle'));
});
afterAll(() => scratch[Symbol.asyncDispose]());

test('an image is the tree that umoci unpacks', async () => {
  const report = await commandJson(['verify', archive, '--against', unpacked]);
  expect(report).toMatchObject({ ok: true, differences: 0, entries: 5, contentBytes: 10 });
});

test('differences are listed and are TREE_MISMATCH; fields can be left out; nothing stays mounted', async () => {
  await writeFile(join(unpacked, 'dir/file'), 'contenT');
  await utimes(join(unpacked, 'dir/file'), 1, 1);
  const args = ['verify', archive, '--against', unpacked];
  expect(await commandError(args)).toMatchObject({ code: 'TREE_MISMATCH', exitCode: 65 });
  const { stdout } = await runCommand([...args, '--ignore', 'mtime,mode']);
  expect(stdout).toContain('/dir/again: content: 0x74 at 6 in the image, 0x54 at 6 in the folder\n');
  expect((await runCommand([...args, '--ignore', 'mtime,mode,content'])).exitCode).toBe(0);
  await rename(join(unpacked, 'dir/again'), join(unpacked, 'dir/other'));
  const { fields } = JSON.parse((await runCommand(['--json', ...args, '--ignore', 'dirtime'])).stdout) as {
    fields: object;
  };
  expect(fields).toMatchObject({ presence: 2, content: 1 });
  expect(await commandError([...args, '--ignore', 'colour'])).toMatchObject({ code: 'USAGE' });
  expect(await commandError(['verify', archive, '--against', '/nonexistent'])).toMatchObject({
    code: 'PATH_NOT_FOUND',
  });
  const mounts = await commandJson<{ source: string }[]>(['mounts']);
  expect(mounts.filter(({ source }) => source === archive)).toEqual([]);
});
