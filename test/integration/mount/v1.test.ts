import { mkdir, readdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openStore } from '../../../src/objects/index.ts';
import { commandError, commandJson, runCommand } from '../../support/command-line.ts';
import { tarStream } from '../../support/corpus/index.ts';
import { layoutOf } from '../../support/native/index.ts';
import { serviceSetting } from '../../support/services.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const FIXTURE = join(import.meta.dirname, '../../fixtures/clip/v1');
const stack = new AsyncDisposableStack();
const { signal } = new AbortController();
const LARGE = Buffer.alloc(3_000_001, 'large ');
const LONG = `${'long/'.repeat(30)}n\u00e4me\n`;
let dir = '';
let archive = '';
let mountpoint = '';

beforeAll(async () => {
  dir = stack.use(await temporaryDirectory('v1')).path;
  mountpoint = join(dir, 'mnt');
  await mkdir(mountpoint);
  const tar = tarStream([
    { name: 'a', type: '0', data: 'first', mode: 0o4755, mtimeNs: 1_600_000_000_123_456_789n },
    { name: 'b', type: '1', linkName: 'a' },
    { name: 'c', type: '2', linkName: 'a' },
    { name: 'd', type: '1', linkName: 'c' },
    { name: 'empty', type: '0', data: '' },
    { name: 'large', type: '0', data: LARGE },
    { name: LONG, type: '0', data: 'found' },
  ]);
  archive = join(dir, 'image.clip');
  const from = ['--from', `oci:${(await layoutOf(dir, [tar])).dir}:latest`, '--storage-ref', '127.0.0.1:1/none:v1'];
  await commandJson(['index', ...from, '--archive-format', 'v1', '--output', archive]);
});
afterAll(() => stack.disposeAsync());

/** What the cache holds of archives; a link names what stands in for one that was fetched. */
const copies = async (cache: string): Promise<readonly string[]> =>
  (await readdir(join(cache, 'archives'))).filter((name) => !name.endsWith('.link')).sort();

async function mounted(source: string, cache: string, engine: string, look: () => Promise<void>): Promise<void> {
  expect(await commandJson(['mount', source, mountpoint, '--engine', engine, '--cache', cache])).toMatchObject({
    engine,
  });
  try {
    await look();
  } finally {
    await commandJson(['umount', mountpoint]);
  }
}

test.for(['erofs', 'fuse'])(
  'a V1 archive mounts from a file and from a store, copied once (engine %s)',
  async (engine) => {
    const cache = join(dir, `cache-${engine}`);
    const key = `v1/${process.pid}-${engine}.clip`;
    await using store = openStore(serviceSetting('CLIPYARD_STORE'), process.env);
    await store.put(key, await readFile(archive), { signal });
    const made: (readonly string[])[] = [];
    for (const source of [archive, `file://${archive}`, store.urlOf(key)]) {
      await mounted(source, cache, engine, async () => {
        expect((await readdir(mountpoint)).sort()).toEqual(['a', 'b', 'c', 'd', 'empty', 'large', 'long']);
        for (const name of ['a', 'b', 'c', 'd']) expect(await readFile(join(mountpoint, name), 'utf8')).toBe('first');
        expect((await readFile(join(mountpoint, 'large'))).equals(LARGE)).toBe(true);
        expect(await readFile(join(mountpoint, LONG), 'utf8')).toBe('found');
      });
      made.push(await copies(cache));
    }
    expect(made[0]).toHaveLength(2);
    expect(made).toEqual([made[0], made[0], made[0]]);
  },
);

test("the stock writer's archive mounts as it is listed", async () => {
  await mounted(join(FIXTURE, 'v1.clip'), join(dir, 'cache-stock'), 'erofs', async () => {
    for (const name of ['a.txt', 'd/b.bin', 'empty']) {
      const { stdout } = await runCommand(['cat', join(FIXTURE, 'v1.clip'), `/${name}`]);
      expect(await readFile(join(mountpoint, name), 'utf8')).toBe(stdout);
    }
  });
});

test('a changed byte and a cut archive do not mount; a damaged or removed copy is made again', async () => {
  const cache = join(dir, 'cache-damaged');
  const mount = (path: string) => ['mount', path, mountpoint, '--cache', cache];
  const whole = await readFile(archive);
  const damaged = Buffer.from(whole);
  const at = damaged.indexOf('large large');
  damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at);
  await writeFile(join(dir, 'damaged.clip'), damaged);
  expect(await commandError(mount(join(dir, 'damaged.clip')))).toMatchObject({ code: 'ARCHIVE_CORRUPT' });
  await writeFile(join(dir, 'cut.clip'), whole.subarray(0, whole.length - 100));
  expect(await commandError(mount(join(dir, 'cut.clip')))).toMatchObject({ code: 'ARCHIVE_TRUNCATED' });
  expect(await readdir(join(cache, 'archives')).catch(() => [])).toEqual([]); // nothing half-made

  await mounted(archive, cache, 'erofs', () => Promise.resolve());
  const layer = join(cache, 'archives', (await copies(cache)).find((name) => name.endsWith('.tar')) ?? '');
  const copy = await readFile(layer);
  copy.writeUInt8(copy.readUInt8(copy.length - 200_000) ^ 1, copy.length - 200_000);
  await writeFile(layer, copy);
  // Found before the mount is there, and copied again from the archive.
  const looksRight = async () => {
    expect((await readFile(join(mountpoint, 'large'))).equals(LARGE)).toBe(true);
  };
  for (const engine of ['erofs', 'fuse']) {
    await writeFile(layer, copy);
    await mounted(archive, cache, engine, looksRight);
    expect((await readFile(layer)).equals(copy)).toBe(false);
  }
  await unlink(layer);
  await mounted(archive, cache, 'erofs', looksRight);
});

test('a damaged copy of an archive that was fetched is fetched again', async () => {
  const cache = join(dir, 'cache-fetched');
  const key = `v1/${process.pid}-damaged.clip`;
  await using store = openStore(serviceSetting('CLIPYARD_STORE'), process.env);
  await store.put(key, await readFile(archive), { signal });
  for (const end of ['.tar', '.clip']) {
    await mounted(store.urlOf(key), cache, 'erofs', () => Promise.resolve());
    const path = join(cache, 'archives', (await copies(cache)).find((name) => name.endsWith(end)) ?? '');
    const bytes = await readFile(path);
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 4000) ^ 1, bytes.length - 4000);
    await writeFile(path, bytes);
    await mounted(store.urlOf(key), cache, 'erofs', async () => {
      expect((await readFile(join(mountpoint, 'large'))).equals(LARGE)).toBe(true);
    });
  }
  expect(await copies(cache)).toHaveLength(2);
});

test('verify --deep of a V1 archive says that it has no layers; verify alone reads all of it', async () => {
  expect(await commandError(['verify', '--deep', archive])).toMatchObject({ code: 'ARCHIVE_NOT_LAZY' });
  expect(await commandJson(['verify', archive])).toMatchObject({ ok: true, kind: 'clip-v1' });
});
