import { mkdir, open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { commandError, commandJson, runCommand } from '../../support/command-line.ts';
import { tarStream } from '../../support/corpus/index.ts';
import { layoutOf } from '../../support/native/index.ts';
import { publishArchive } from '../../support/published-archive.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

interface Listing {
  readonly layers: readonly { readonly diffId: string; readonly inUse: boolean; readonly pinned: boolean }[];
}

test('the runtime cache is listed, pinned, checked and collected while an image is mounted and after', async () => {
  await using scratch = await temporaryDirectory('layer-cache');
  const file = Buffer.alloc(700_000, 'layer data ');
  const tars = [tarStream([{ name: 'file', type: '0', data: file, mode: 0o644 }])];
  const archive = await publishArchive(await layoutOf(scratch.path, tars, 'plain'), {
    dir: scratch.path,
    codec: 'zstd',
    name: 'layer-cache',
  });
  const root = join(scratch.path, 'mount');
  const dir = join(scratch.path, 'cache');
  const cache = (...args: readonly string[]) => ['cache', 'layers', '--cache', dir, ...args];
  const list = () => commandJson<Listing>(cache('ls'));
  await mkdir(root);
  await commandJson(['mount', '--cache', dir, '--cache-size', '1GB', archive.path, root]);
  expect((await readFile(join(root, 'file'))).equals(file)).toBe(true);
  const [layer] = (await list()).layers;
  expect(layer).toMatchObject({ inUse: true, pinned: false });
  expect(await commandJson(cache('gc', '--max-size', '0'))).toMatchObject({ layers: 0 });

  const [name = ''] = await readdir(join(dir, 'layers'));
  await using data = await open(join(dir, 'layers', name, 'data'), 'r+');
  await data.write('X', 100_000);
  const found = await runCommand(['--json', ...cache('verify')]);
  expect([found.exitCode, JSON.parse(found.stdout)]).toMatchObject([65, { ok: false, damaged: 1 }]);
  expect(await commandJson(cache('verify'))).toMatchObject({ ok: true, damaged: 0 });
  await commandJson(['umount', root]);

  await data.write('X', 200_000);
  expect(JSON.parse((await runCommand(['--json', ...cache('verify')])).stdout)).toMatchObject({ damaged: 1 });
  expect(await commandJson(cache('pin', layer?.diffId ?? ''))).toMatchObject({ layers: 1 });
  expect(await commandJson(cache('gc', '--max-size', '0'))).toMatchObject({ layers: 0 });
  await commandJson(cache('unpin', layer?.diffId ?? ''));
  expect(await commandJson(cache('gc', '--max-size', '0', '--dry-run'))).toMatchObject({ layers: 1, dryRun: true });
  expect((await list()).layers).toHaveLength(1);
  expect(await commandJson(cache('gc', '--max-size', '0'))).toMatchObject({ layers: 1, keptBytes: 0 });
  expect((await list()).layers).toEqual([]);
  expect(await commandError(cache('pin', 'sha256:00'))).toMatchObject({ code: 'PATH_NOT_FOUND' });
});
