import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { listDeadMounts } from '../../../src/mount/dead-mounts.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

let scratch: TemporaryDirectory;
let daemon: ChildProcess;

beforeAll(async () => {
  scratch = await temporaryDirectory('dead-mounts');
  // A program that is called as a daemon is, and waits for its input to end.
  await writeFile(join(scratch.path, 'daemon'), 'read line\n');
  daemon = spawn('sh', ['daemon'], { cwd: scratch.path, stdio: ['pipe', 'ignore', 'ignore'] });
});
afterAll(async () => {
  daemon.stdin?.end();
  await scratch[Symbol.asyncDispose]();
});

const thisBoot = async () => (await readFile('/proc/sys/kernel/random/boot_id', 'latin1')).trim();

async function deadWith(fields: Readonly<Record<string, unknown>>): Promise<readonly string[]> {
  const folder = join(scratch.path, 'mounts/one');
  await mkdir(folder, { recursive: true });
  const record = {
    v: 1,
    id: 'one',
    mountpoint: join(scratch.path, 'nowhere'),
    source: 'team/app',
    storageRef: '127.0.0.1:5000/team/app:latest',
    startedAt: '2026-01-01T00:00:00.000Z',
    device: '0:1',
    pid: daemon.pid,
    ...fields,
  };
  await writeFile(join(folder, 'mount.json'), JSON.stringify(record));
  return (await listDeadMounts({ stateDir: scratch.path })).map(({ record: { id } }) => id);
}

test('a mount whose daemon runs is not dead', async () => {
  expect(await deadWith({ bootId: await thisBoot() })).toEqual([]);
  expect(await deadWith({})).toEqual([]); // a record of an older daemon
});

test('a mount of an earlier boot is dead, whatever daemon has the number of its process now', async () => {
  expect(await deadWith({ bootId: '00000000-0000-4000-8000-000000000000' })).toEqual(['one']);
});

test('a mount whose process is gone, or is no daemon, is dead', async () => {
  expect(await deadWith({ pid: process.pid })).toEqual(['one']);
  expect(await deadWith({ pid: 2 ** 30 })).toEqual(['one']);
});
