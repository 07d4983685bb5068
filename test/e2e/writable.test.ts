import { execFile } from 'node:child_process';
import { chmod, copyFile, link, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { commandError, commandJson, runCommand, startCommand } from '../support/command-line.ts';
import { tarStream } from '../support/corpus/index.ts';
import { pathWithCrun } from '../support/crun-path.ts';
import { layoutOf } from '../support/native/index.ts';
import { publishArchive } from '../support/published-archive.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary-directory.ts';

const run = promisify(execFile);
let scratch: TemporaryDirectory;
let archive = '';
let made = 0;
const newFolder = async (label: string): Promise<string> => {
  made += 1;
  const path = join(scratch.path, `${label} ${made},x`);
  await mkdir(path);
  return path;
};

beforeAll(async () => {
  scratch = await temporaryDirectory('writable');
  const busybox = await readFile('/bin/busybox');
  const layer = tarStream([
    { name: 'bin/', type: '5', mode: 0o755 },
    { name: 'bin/busybox', type: '0', data: busybox, mode: 0o755 },
    ...['sh', 'cat', 'true', 'sleep'].map((name) => ({ name: `bin/${name}`, type: '2' as const, linkName: 'busybox' })),
    ...['proc/', 'dev/', 'sys/', 'etc/', 'tmp/'].map((name) => ({ name, type: '5' as const, mode: 0o755 })),
    { name: 'lower/', type: '5', mode: 0o755 },
    { name: 'lower/file', type: '0', data: 'of the image', mode: 0o644, xattrs: { 'user.of': 'the image' } },
    { name: 'lower/gone', type: '0', data: 'x' },
    { name: 'lower/sub/', type: '5', mode: 0o755 },
    { name: 'lower/sub/leaf', type: '0', data: 'leaf' },
  ]);
  const layout = await layoutOf(scratch.path, [layer]);
  archive = (await publishArchive(layout, { dir: scratch.path, codec: 'zstd', name: 'writable' })).path;
});
afterAll(() => scratch[Symbol.asyncDispose]());

/** A writable mount for the time of a test. */
async function mounted(changes: string): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await newFolder('mount');
  await commandJson(['mount', '--rw', changes, archive, path]);
  return { path, [Symbol.asyncDispose]: () => commandJson(['umount', path]) };
}

test('every kind of change is taken and is there again after a restart', async () => {
  const changes = await newFolder('changes');
  {
    await using mount = await mounted(changes);
    const at = (name: string) => join(mount.path, name);
    await writeFile(at('new'), 'new');
    await writeFile(at('lower/file'), ', and more', { flag: 'a' });
    await chmod(at('bin/busybox'), 0o700);
    await rename(at('lower/sub'), at('moved'));
    await rm(at('lower/gone'));
    await link(at('lower/file'), at('again'));
    await run('setfattr', ['-n', 'user.mine', '-v', '1', at('lower/file')]);
    await run('setfattr', ['-n', 'trusted.mine', '-v', '2', at('new')]);
    const file = await open(at('new'), 'r+');
    await file.sync();
    await file.close();
  }
  await using mount = await mounted(changes);
  const at = (name: string) => join(mount.path, name);
  expect(await readFile(at('new'), 'utf8')).toBe('new');
  expect(await readFile(at('again'), 'utf8')).toBe('of the image, and more');
  expect((await stat(at('again'))).ino).toBe((await stat(at('lower/file'))).ino);
  expect((await stat(at('bin/busybox'))).mode & 0o7777).toBe(0o700);
  expect(await readFile(at('moved/leaf'), 'utf8')).toBe('leaf');
  expect(await readdir(at('lower'))).toEqual(['file']);
  const { stdout } = await run('getfattr', [
    '-d',
    '-m',
    '(user|trusted)\\.(of|mine)',
    '--absolute-names',
    at('lower/file'),
  ]);
  expect(stdout).toContain('user.mine="1"\nuser.of="the image"');
});

test('mounts and stat show it by the folder it is at, and umount takes both mounts down in order', async () => {
  const changes = await newFolder('changes');
  const path = await newFolder('mount');
  await commandJson(['mount', '--rw', changes, archive, path]);
  const busy = await open(join(path, 'bin/busybox'));
  const [record] = (
    await commandJson<{ mountpoint: string; writable?: { lower: string; directory: string } }[]>(['mounts'])
  ).filter(({ mountpoint }) => mountpoint === path);
  expect(record?.writable?.directory).toBe(changes);
  expect(await commandJson(['stat', path])).toHaveProperty('wantedBytes');
  expect(await commandError(['umount', path])).toMatchObject({ code: 'MOUNT_BUSY' });
  expect(await readFile(join(path, 'lower/file'), 'utf8')).toBe('of the image');
  await busy.close();
  await commandJson(['umount', path]);
  const mounts = await readFile('/proc/self/mountinfo', 'utf8');
  expect(mounts).not.toContain(record?.writable?.lower);
  await expect(stat(record?.writable?.lower ?? '/')).rejects.toMatchObject({ code: 'ENOENT' });
  const left = await commandJson<{ mountpoint: string }[]>(['mounts']);
  expect(left.filter(({ mountpoint }) => mountpoint === path)).toEqual([]);
});

test('changes belong to one mount or container at a time', async () => {
  const changes = await newFolder('changes');
  await using _first = await mounted(changes);
  const second = await newFolder('mount');
  expect(await commandError(['mount', '--rw', changes, archive, second])).toMatchObject({
    code: 'UPPER_IN_USE',
    exitCode: 73,
  });
  expect(await commandError(['run', '--rw', changes, archive, '--', '/bin/true'])).toMatchObject({
    code: 'UPPER_IN_USE',
  });
  expect(await readdir(second)).toEqual([]);
  const records = await commandJson<{ mountpoint: string }[]>(['mounts']);
  expect(records.filter(({ mountpoint }) => mountpoint === second || mountpoint.includes('/lowers/'))).toEqual([]);
});

test.for(['runc', 'crun'])(
  '%s: two containers on one image write to folders of their own, and a restart finds them',
  async (runtime) => {
    const [one, two] = [await newFolder('one'), await newFolder('two')];
    const PATH = await pathWithCrun(scratch.path);
    const start = (changes: string, script: string) =>
      startCommand(
        [
          'run',
          '--runtime',
          runtime,
          '--rw',
          changes,
          '--user',
          '0',
          '--workdir',
          '/',
          archive,
          '--',
          '/bin/sh',
          '-c',
          script,
        ],
        { PATH },
      );
    const waits = start(one, 'echo one > /who; echo up >&2; sleep 60');
    await waits.sawLine(/^up$/);
    expect((await start(two, 'echo two > /who; cat /who').result).stdout).toBe('two\n');
    waits.child.kill('SIGINT');
    await waits.result;
    expect((await start(one, 'cat /who').result).stdout).toBe('one\n');
    expect((await start(two, 'exit 3').result).exitCode).toBe(3);
  },
);

test('an overlay that the kernel refuses is said by code, and nothing stays', async () => {
  const below = await newFolder('below');
  await using mount = await mounted(below);
  await mkdir(join(mount.path, 'nested'));
  const path = await newFolder('mount');
  expect(await commandError(['mount', '--rw', join(mount.path, 'nested'), archive, path])).toMatchObject({
    code: 'OVERLAY_REFUSED',
    exitCode: 64,
  });
  await copyFile('/etc/hostname', join(path, 'occupied'));
  expect(await commandError(['mount', '--rw', await newFolder('changes'), archive, path])).toMatchObject({
    code: 'MOUNT_POINT_IN_USE',
  });
  expect(await commandError(['mount', '--rw', await newFolder('changes'), archive, `${path}/none`])).toMatchObject({
    code: 'MOUNT_POINT_INVALID',
  });
  expect((await runCommand(['mounts'])).stdout).not.toContain('/lowers/');
});
