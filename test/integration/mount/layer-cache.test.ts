import { mkdir, open, readdir, readFile, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openStore } from '../../../src/objects/index.ts';
import { commandError, commandJson, runCommand } from '../../support/command-line.ts';
import { tarStream } from '../../support/corpus/index.ts';
import { layoutOf } from '../../support/native/index.ts';
import { publishArchive } from '../../support/published-archive.ts';
import { serviceSetting } from '../../support/services.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

interface Listing {
  readonly archives: readonly { readonly name: string; readonly inUse: boolean }[];
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

test('an archive that was fetched is listed, kept while a mount has it, and collected or fetched again after', async () => {
  await using scratch = await temporaryDirectory('cached-archives');
  const tars = [tarStream([{ name: 'file', type: '0', data: 'content', mode: 0o644 }])];
  const { path } = await publishArchive(await layoutOf(scratch.path, tars, 'plain'), {
    dir: scratch.path,
    codec: 'zstd',
    name: 'cached-archives',
  });
  const key = `cached-archives/${process.pid}.clip`;
  const { signal } = new AbortController();
  await using store = openStore(serviceSetting('CLIPYARD_STORE'), process.env);
  await store.put(key, await readFile(path), { signal });
  const root = join(scratch.path, 'mount');
  const dir = join(scratch.path, 'cache');
  await mkdir(root);
  const cache = (...args: readonly string[]) => ['cache', 'layers', '--cache', dir, ...args];
  const archives = async () => (await commandJson<Listing>(cache('ls'))).archives;
  const mounted = async (look: () => Promise<void>) => {
    await commandJson(['mount', '--cache', dir, '--cache-min-free', '1%', '--pin', store.urlOf(key), root]);
    try {
      expect(await readFile(join(root, 'file'), 'utf8')).toBe('content');
      await look();
    } finally {
      await commandJson(['umount', root]);
    }
  };
  const file = async () => join(dir, 'archives', (await archives())[0]?.name ?? '');
  const longAgo = async () => {
    const then = new Date(Date.now() - 3_600_000);
    await utimes(await file(), then, then);
  };
  await mounted(async () => {
    await longAgo();
    expect(await archives()).toMatchObject([{ inUse: true }]);
    expect(await commandJson(cache('gc', '--max-size', '0'))).toMatchObject({ archives: 0, layers: 0 });
  });
  expect(await commandJson<Listing>(cache('ls'))).toMatchObject({ layers: [{ inUse: false, pinned: true }] });
  expect(await commandJson(cache('verify'))).toMatchObject({ archives: 1, damagedArchives: 0 });

  // Damaged, it is fetched again by who wants it, or goes.
  const damage = async () => {
    await using handle = await open(await file(), 'r+');
    await handle.write('damage', (await handle.stat()).size - 4096);
  };
  await damage();
  await mounted(() => Promise.resolve());
  await damage();
  const found = await runCommand(['--json', ...cache('verify')]);
  expect([found.exitCode, JSON.parse(found.stdout)]).toMatchObject([65, { ok: false, damagedArchives: 1 }]);
  expect(await archives()).toEqual([]);

  await mounted(() => Promise.resolve());
  await longAgo();
  expect(await commandJson(cache('gc', '--max-size', '0'))).toMatchObject({ archives: 1, layers: 0 });
  await mounted(() => Promise.resolve());
  expect(await commandError(['mount', '--cache-min-free', '101%', path, root])).toMatchObject({ code: 'USAGE' });
});
