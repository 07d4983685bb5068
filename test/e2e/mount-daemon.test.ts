import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { buildJson, commandError, commandJson, runCommand } from '../support/command-line.ts';
import { serviceSetting } from '../support/services.ts';
import { smallContext } from '../support/small-context.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary-directory.ts';

interface Listing {
  readonly id: string;
  readonly mountpoint: string;
  readonly pid: number;
}

const imageId = `daemon_${process.pid}`;
const source = `e2e/${imageId}`;
let scratch: TemporaryDirectory;
let state: Readonly<Record<string, string>>;
let first: string;
let second: string;

beforeAll(async () => {
  scratch = await temporaryDirectory('daemon');
  state = {
    CLIPYARD_STATE: join(scratch.path, 'state'),
    ...Object.fromEntries(
      ['CLIPYARD_STORE', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_REGION', 'AWS_ENDPOINT_URL'].map((name) => [
        name,
        serviceSetting(name),
      ]),
    ),
  };
  [first, second] = [join(scratch.path, 'first'), join(scratch.path, 'second')];
  for (const path of [first, second]) await mkdir(path);
  const context = await smallContext(join(scratch.path, 'context'));
  await buildJson([
    ...['--context', context, '--workspace', 'e2e', '--image-id', imageId],
    ...['--registry', `${serviceSetting('CLIPYARD_REGISTRY')}/e2e/${imageId}`],
  ]);
});
afterAll(async () => {
  await scratch[Symbol.asyncDispose]();
});

test('one daemon serves all mounts, and is gone after the last', async () => {
  const one = await commandJson<Listing>(['mount', source, first], state);
  const two = await commandJson<Listing>(['mount', source, second], state);
  expect(two.pid).toBe(one.pid);
  expect(await mountpoints()).toEqual([first, second]);
  const { layers } = await commandJson<{ layers: { mounts: number }[] }>(['stat', second], state);
  expect(layers.map(({ mounts }) => mounts)).toEqual(layers.map(() => 2));
  await commandJson(['umount', first], state);
  expect(await mountpoints()).toEqual([second]);
  // A plain umount is all it takes.
  execFileSync('umount', [second]);
  await vanished(one.pid);
  expect(await mountpoints()).toEqual([]);
  expect(await readdir(join(scratch.path, 'state/mounts'))).toEqual([]);
  expect(await commandError(['umount', second], state)).toMatchObject({ code: 'MOUNT_NOT_FOUND' });
});

test('a state directory whose path is longer than a socket may be has a daemon, too', async () => {
  const deep = { ...state, CLIPYARD_STATE: join(scratch.path, 'a-folder-of-thirty-characters/'.repeat(4), 'state') };
  const { pid } = await commandJson<Listing>(['mount', source, first], deep);
  const mounts = async (of: Readonly<Record<string, string>>) => await commandJson<readonly Listing[]>(['mounts'], of);
  expect((await mounts(deep)).map((mount) => mount.pid)).toEqual([pid]);
  expect(await mounts({ ...deep, CLIPYARD_STATE: `${deep.CLIPYARD_STATE}-of-another` })).toEqual([]);
  await commandJson(['umount', first], deep);
});

test('a killed daemon is replaced: the mount is the same one and reads on', async () => {
  const { id, pid } = await commandJson<Listing>(['mount', source, first], state);
  process.kill(pid, 'SIGKILL');
  expect((await readdir(first)).length).toBeGreaterThan(0);
  execFileSync('sh', ['-c', 'find "$1" -xdev -type f -exec cat {} + > /dev/null', 'sh', first]);
  const [listing] = await commandJson<readonly Listing[]>(['mounts'], state);
  expect(listing).toMatchObject({ id, mountpoint: first });
  expect(listing?.pid).not.toBe(pid);
  await commandJson(['stat', first], state);
  await commandJson(['umount', first], state);
});

test('what is left when holder and daemon are killed is named by stat, taken away by umount and by mounts --repair', async () => {
  for (const takeAway of [['umount', first] as const, ['mounts', '--repair'] as const]) {
    const { pid } = await commandJson<Listing>(['mount', source, first], state);
    killBoth(pid);
    await vanished(pid);
    expect((await commandError(['stat', first], state)).message).toContain(`clipyard umount ${first}`);
    expect(await mountpoints()).toEqual([first]);
    await commandJson(takeAway, state);
    expect(await mountpoints()).toEqual([]);
    expect(await isMounted(first)).toBe(false);
    expect(await readdir(join(scratch.path, 'state/mounts'))).toEqual([]);
    if (takeAway[1] === '--repair') expect(await readdir(join(scratch.path, 'state/mountd'))).toEqual(['mountd.log']);
  }
  await commandJson(['mount', source, first], state);
  await commandJson(['umount', first], state);
});

test('--repair removes what a boot before this one left, also where another daemon has the number of its process', async () => {
  const { id, pid } = await commandJson<Listing>(['mount', source, first], state);
  killBoth(pid);
  await vanished(pid);
  execFileSync('umount', ['--lazy', first]); // no mount outlives a boot
  const path = join(scratch.path, 'state/mounts', id, 'mount.json');
  const record = JSON.parse(await readFile(path, 'utf8')) as { readonly bootId: string };
  expect(record.bootId).toMatch(/^[0-9a-f-]{36}$/);
  const { id: other, pid: now } = await commandJson<Listing>(['mount', source, second], state);
  await writeFile(path, JSON.stringify({ ...record, bootId: '00000000-0000-4000-8000-000000000000', pid: now }));
  const { removed } = await commandJson<{ removed: Listing[] }>(['mounts', '--repair'], state);
  expect(removed.map((mount) => mount.id)).toEqual([id]);
  expect(await readdir(join(scratch.path, 'state/mounts'))).toEqual([other]);
  expect(await mountpoints()).toEqual([second]);
  await commandJson(['umount', second], state);
});

test('--repair takes a dead writable mount away and leaves its changes, which the next one has', async () => {
  const changes = join(scratch.path, 'changes');
  await mkdir(changes);
  const { pid } = await commandJson<Listing>(['mount', '--rw', changes, source, first], state);
  await writeFile(join(first, 'mine'), 'kept');
  killBoth(pid);
  await vanished(pid);
  await commandJson(['mounts', '--repair'], state);
  expect(await mountpoints()).toEqual([]);
  expect(await isMounted(first)).toBe(false);
  expect(await readdir(join(scratch.path, 'state/mounts'))).toEqual([]);
  expect(await readdir(join(scratch.path, 'state/lowers'))).toEqual([]);
  await commandJson(['mount', '--rw', changes, source, first], state);
  expect(await readFile(join(first, 'mine'), 'utf8')).toBe('kept');
  await commandJson(['umount', first], state);
});

test('--repair leaves mounts alone that are served', async () => {
  await commandJson(['mount', source, first], state);
  const repaired = await commandJson<{ removed: unknown[]; mounts: Listing[] }>(['mounts', '--repair'], state);
  expect(repaired.removed).toEqual([]);
  expect(repaired.mounts.map(({ mountpoint }) => mountpoint)).toEqual([first]);
  await commandJson(['umount', first], state);
});

test('an overlay that is unmounted by hand is listed no more, and --repair takes away what is below it', async () => {
  const changes = join(scratch.path, 'more-changes');
  await mkdir(changes);
  const { pid } = await commandJson<Listing>(['mount', '--rw', changes, source, first], state);
  expect(await mountpoints()).toEqual([first]);
  execFileSync('umount', [first]);
  expect(await mountpoints()).toEqual([]);
  await commandJson(['mounts', '--repair'], state);
  await vanished(pid);
  expect(await readdir(join(scratch.path, 'state/mounts'))).toEqual([]);
  expect(await readdir(join(scratch.path, 'state/lowers'))).toEqual([]);
});

test('a plain umount is seen at once', async () => {
  const { pid } = await commandJson<Listing>(['mount', source, first], state);
  await commandJson(['mount', source, second], state);
  execFileSync('umount', [first]);
  expect(await mountpoints()).toEqual([second]);
  execFileSync('umount', [second]);
  await vanished(pid);
  expect(await readdir(join(scratch.path, 'state/mounts'))).toEqual([]);
});

test('a daemon that a command starts takes its options from the environment, and one that runs is not like another', async () => {
  const options = '--page-cache single --no-handover';
  const wrong = await commandError(['mount', source, first], { ...state, CLIPYARD_MOUNTD_OPTIONS: '--loud' });
  expect(wrong).toMatchObject({ code: 'CONFIG_INVALID', exitCode: 64 });
  expect(wrong.message).toContain('--loud: not an option');
  const { pid } = await commandJson<Listing>(['mount', source, first], { ...state, CLIPYARD_MOUNTD_OPTIONS: options });
  const line = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', ' ');
  expect(line).toContain('--page-cache single');
  expect(line).toContain('--no-handover');
  const args = ['mount', '--page-cache', 'single', source, second];
  const said = await runCommand(args, { ...state, CLIPYARD_MOUNTD_OPTIONS: `${options} --max-requests 3` });
  expect(said.stderr).toContain('runs already without these options');
  expect(said.stderr).toContain('--max-requests 3');
  expect(said.stderr).not.toContain('--no-handover');
  for (const path of [first, second]) await commandJson(['umount', path], state);
});

test('a managed daemon is used and never started', async () => {
  const socket = join(scratch.path, 'nobody.sock');
  const error = await commandError(['mount', source, first], { ...state, CLIPYARD_MOUNTD: socket });
  expect(error).toMatchObject({ code: 'MOUNT_DAEMON_UNAVAILABLE', exitCode: 75 });
  expect(await isMounted(first)).toBe(false);
});

async function mountpoints(): Promise<readonly string[]> {
  return (await commandJson<readonly Listing[]>(['mounts'], state)).map(({ mountpoint }) => mountpoint);
}

async function isMounted(path: string): Promise<boolean> {
  return (await readFile('/proc/self/mountinfo', 'utf8')).includes(` ${path} `);
}

/** The daemon is stopped first: while it runs it starts another holder at once. */
function killBoth(daemon: number): void {
  const stat = readFileSync(`/proc/${daemon}/stat`, 'latin1');
  const holder = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] ?? '';
  process.kill(daemon, 'SIGSTOP');
  execFileSync('kill', ['-9', holder, String(daemon)]);
}

async function vanished(pid: number): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => ') Z');
    if (/\) Z/.test(stat)) return;
    await sleep(20);
  }
  throw new Error(`process ${pid} does not end`);
}
