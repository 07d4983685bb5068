import { execFile } from 'node:child_process';
import { chmod, chown, copyFile, lstat, mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, describe as group, test } from 'vitest';
import { isAlive } from '../../../src/native/index.ts';
import { commandError, commandJson, runCommand } from '../../support/command-line.ts';
import { tarStream } from '../../support/corpus/index.ts';
import { addBlobs, awkwardTars, layoutOf, type MadeArchive, makeArchive } from '../../support/native/index.ts';
import {
  compareTrees,
  gnuTarExtract,
  snapshotTree,
  type TreeSnapshot,
  umociUnpack,
} from '../../support/oracle/index.ts';
import { startOlareg } from '../../support/registry.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const run = promisify(execFile);
const CLI = join(import.meta.dirname, '../../../src/bin/cli.ts');
const NOBODY = 65534;
const stack = new AsyncDisposableStack();
let dir = '';
/** A copy of this program that anybody may run. */
let node = '';
let archive: MadeArchive;
/** A shell and little else. */
let shell: MadeArchive;
/** The folder that umoci and GNU tar unpacked. */
let unpacked = '';
let truth: TreeSnapshot;
/** Paths whose time is that of the unpacking. */
let touched: ReadonlySet<string>;

beforeAll(async () => {
  dir = stack.use(await temporaryDirectory('engine-fuse')).path;
  await chmod(dir, 0o755);
  // As udev sets it; where none runs, the device is root's alone.
  await chmod('/dev/fuse', 0o666);
  node = join(dir, 'node');
  await copyFile(process.execPath, node);
  const registry = stack.use(await startOlareg());
  const { plain, gnu } = await awkwardTars();
  const layout = await layoutOf(dir, [...plain, ...gnu]);
  archive = await makeArchive(layout, {
    dir,
    codec: 'zstd',
    name: 'image',
    registry: registry.address,
    repository: 'fuse/awkward',
  });
  await addBlobs(registry.address, 'fuse/awkward', archive.layers);
  shell = await makeArchive(await layoutOf(join(dir, 'shell'), [await shellLayer()]), {
    dir: join(dir, 'shell'),
    codec: 'zstd',
    name: 'shell',
    registry: registry.address,
    repository: 'fuse/shell',
  });
  await addBlobs(registry.address, 'fuse/shell', shell.layers);
  const startNs = BigInt(Date.now()) * 1_000_000n;
  unpacked = await umociUnpack((await layoutOf(dir, plain, 'gzip')).dir, join(dir, 'bundle'));
  for (const { path } of layout.layers.slice(plain.length)) await gnuTarExtract(path, unpacked);
  truth = await snapshotTree(unpacked);
  const endNs = BigInt(Date.now() + 1) * 1_000_000n;
  touched = new Set(
    [...truth].filter(([, { mtimeNs }]) => mtimeNs >= startNs && mtimeNs <= endNs).map(([path]) => path),
  );
});
afterAll(() => stack.disposeAsync());

interface MountResult {
  readonly engine: string;
  readonly engineReason: string;
  readonly pid: number;
}

/** Settings of a state directory that nothing else uses. */
async function freshState(name: string, owner = 0): Promise<{ mountpoint: string; env: Record<string, string> }> {
  const root = join(dir, name);
  const [state, mountpoint] = [join(root, 'state'), join(root, 'mnt')];
  for (const path of [root, state, mountpoint]) {
    await mkdir(path, { recursive: true });
    await chown(path, owner, owner);
  }
  return { mountpoint, env: { CLIPYARD_STATE: state, CLIPYARD_CACHE: join(state, 'cache'), HOME: root } };
}

const requestsOf = async (mountpoint: string, env: Record<string, string>): Promise<number> =>
  (await commandJson<{ kernelRequests: number }>(['stat', mountpoint], env)).kernelRequests;

group('engine fuse as root', () => {
  test('shows the tree that umoci and GNU tar unpack, and is not asked twice', async () => {
    const { mountpoint, env } = await freshState('root');
    const mounted = await commandJson<MountResult>(['mount', archive.path, mountpoint, '--engine', 'fuse'], env);
    try {
      expect(mounted).toMatchObject({ engine: 'fuse', engineReason: 'asked for' });
      const seen = await snapshotTree(mountpoint);
      expect(compareTrees(truth, seen, { times: touched })).toEqual([]);
      expect(seen.size).toBe(archive.entries);
      // A machine short of memory may drop a page between two walks: what a walk always asks shows in each of them.
      const asked: number[] = [];
      for (let walk = 0; walk < 6 && asked.at(-1) !== 0; walk += 1) {
        const before = await requestsOf(mountpoint, env);
        await goThrough(mountpoint);
        asked.push((await requestsOf(mountpoint, env)) - before);
      }
      expect(asked.at(-1), asked.join(' ')).toBe(0);
    } finally {
      await commandJson(['umount', mountpoint], env);
    }
    expect(await mountsBelow(join(dir, 'root'))).toEqual([]);
  });

  test('a file is shared, mapped and looked through for holes as it is on disk', async () => {
    const { mountpoint, env } = await freshState('holes');
    await commandJson(['mount', archive.path, mountpoint, '--engine', 'fuse'], env);
    try {
      const sparse = [...truth].find(([path, { sizeBytes }]) => path.includes('sparse') && sizeBytes > 4096)?.[0] ?? '';
      // cp looks for holes with SEEK_HOLE and SEEK_DATA; cmp maps or reads.
      await run('cp', ['--sparse=auto', join(mountpoint, sparse), join(dir, 'copy')]);
      await run('cmp', [join(dir, 'copy'), join(unpacked, sparse)]);
    } finally {
      await commandJson(['umount', mountpoint], env);
    }
  });

  test('a killed daemon costs its readers nothing but time', async () => {
    const { mountpoint, env } = await freshState('survives');
    const { pid } = await commandJson<MountResult>(['mount', archive.path, mountpoint, '--engine', 'fuse'], env);
    process.kill(pid, 'SIGKILL');
    try {
      expect(compareTrees(truth, await snapshotTree(mountpoint), { times: touched })).toEqual([]);
      const [listed] = await commandJson<MountResult[]>(['mounts'], env);
      expect(listed?.engine).toBe('fuse');
      expect(listed?.pid).not.toBe(pid);
    } finally {
      await commandJson(['umount', mountpoint], env);
    }
  });

  test('with daemon and holder killed what was not read is an error, and umount takes the rest away', async () => {
    const { mountpoint, env } = await freshState('killed');
    const { pid } = await commandJson<MountResult>(['mount', archive.path, mountpoint, '--engine', 'fuse'], env);
    await killWithHolder(pid);
    const [path = ''] = [...truth].find(([, { type, sizeBytes }]) => type === 'file' && sizeBytes > 100_000) ?? [];
    await expect(readFile(join(mountpoint, path))).rejects.toThrow(/ENOTCONN|ECONNABORTED/);
    await commandJson(['umount', mountpoint], env);
    expect(await mountsBelow(join(dir, 'killed'))).toEqual([]);
  });

  test('run puts an overlay on it and starts a command, which may write', async () => {
    const { env } = await freshState('run');
    const script = 'echo changed >> /srv/message; cat /srv/message; ls /srv; exit 7';
    const args = ['run', '--engine', 'fuse', '--user', '0', shell.path, '--', '/bin/sh', '-c', script];
    const { exitCode, stdout } = await runCommand(args, env);
    expect({ exitCode, stdout }).toEqual({ exitCode: 7, stdout: 'hello\nchanged\nmessage\n' });
    expect(await mountsBelow(join(dir, 'run'))).toEqual([]);
  });

  test('an engine that does not exist is refused', async () => {
    const { mountpoint, env } = await freshState('no-engine');
    expect(await commandError(['mount', archive.path, mountpoint, '--engine', 'nbd'], env)).toMatchObject({
      code: 'USAGE',
    });
  });
});

group('engine fuse as a user without privilege', () => {
  test('shows and refuses that user what the unpacked tree does', async () => {
    const { mountpoint, env } = await freshState('user', NOBODY);
    await chmod(join(dir, 'bundle'), 0o755);
    const mounted = JSON.parse(
      (await asNobody([node, CLI, '--json', 'mount', archive.path, mountpoint], env)).stdout,
    ) as MountResult;
    expect(mounted.engine).toBe('fuse');
    expect(mounted.engineReason).toContain('CAP_SYS_ADMIN');
    try {
      const [seen, wanted] = [await lookAround(mountpoint), await lookAround(unpacked)];
      expect(seen).toEqual(wanted);
      expect(seen.length).toBeGreaterThan(1900);
      expect(seen.some((line) => line.includes('Permission denied'))).toBe(true);
    } finally {
      await asNobody([node, CLI, 'umount', mountpoint], env);
    }
    expect(await mountsBelow(join(dir, 'user'))).toEqual([]);
  });

  test('umount takes away what the killed daemon of a user left', async () => {
    const { mountpoint, env } = await freshState('user-killed', NOBODY);
    const { stdout } = await asNobody(
      [node, CLI, '--json', 'mount', archive.path, mountpoint, '--engine', 'fuse'],
      env,
    );
    await killWithHolder((JSON.parse(stdout) as MountResult).pid);
    await asNobody([node, CLI, 'umount', mountpoint], env);
    expect(await mountsBelow(join(dir, 'user-killed'))).toEqual([]);
  });
});

group('mounts --repair', () => {
  test('leaves nothing of a user whose daemon and holder were killed', async () => {
    const { mountpoint, env } = await freshState('user-repair', NOBODY);
    const { stdout } = await asNobody([node, CLI, '--json', 'mount', archive.path, mountpoint], env);
    await killWithHolder((JSON.parse(stdout) as MountResult).pid);
    await asNobody([node, CLI, 'mounts', '--repair'], env);
    await expectNothingLeft('user-repair');
  });

  test.for(['erofs', 'fuse'])('leaves nothing of engine %s with an overlay on top', async (engine) => {
    const name = `overlay-repair-${engine}`;
    const { mountpoint, env } = await freshState(name);
    const changes = join(dir, name, 'changes');
    const args = ['mount', archive.path, mountpoint, '--engine', engine, '--rw', changes];
    const { pid } = await commandJson<MountResult>(args, env);
    await writeFile(join(mountpoint, 'written'), 'kept');
    await killWithHolder(pid);
    await commandJson(['mounts', '--repair'], env);
    await expectNothingLeft(name);
    expect(await readFile(join(changes, 'upper/written'), 'utf8')).toBe('kept');
  });
});

/** No mount, no record, no process. The socket's file stays: the next daemon takes its place. */
async function expectNothingLeft(name: string): Promise<void> {
  const root = join(dir, name);
  expect(await mountsBelow(root)).toEqual([]);
  for (const records of ['mounts', 'lowers'])
    expect(await readdir(join(root, 'state', records)).catch(() => [])).toEqual([]);
  const { stdout } = await run('sh', ['-c', 'cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\\0" " "']);
  expect(stdout).not.toContain(`${root}/state/mountd`);
}

/** Kills a daemon and its parent, so that neither starts the other again (proc(5), field 4 of stat). */
async function killWithHolder(pid: number): Promise<void> {
  const line = await readFile(`/proc/${pid}/stat`, 'latin1');
  const holder = Number(line.slice(line.lastIndexOf(')') + 2).split(' ')[1]);
  process.kill(pid, 'SIGSTOP');
  process.kill(holder, 'SIGKILL');
  process.kill(pid, 'SIGKILL');
  await expect.poll(() => [pid, holder].filter((id) => isAlive(id))).toEqual([]);
}

/** Lists every folder, looks at every name and reads every file. find(1) would also ask for statfs, which no kernel keeps. */
async function goThrough(path: string | Buffer): Promise<void> {
  const stats = await lstat(path);
  if (stats.isSymbolicLink()) await readlink(path, { encoding: 'buffer' });
  if (stats.isFile()) await readFile(path);
  if (!stats.isDirectory()) return;
  for (const name of await readdir(path, { encoding: 'buffer' }))
    await goThrough(Buffer.concat([Buffer.from(path), Buffer.from('/'), name]));
}

async function shellLayer(): Promise<Buffer> {
  return tarStream([
    { name: 'bin/', type: '5', mode: 0o755 },
    { name: 'bin/busybox', type: '0', mode: 0o755, data: await readFile('/bin/busybox') },
    ...['sh', 'cat', 'ls'].map((name) => ({ name: `bin/${name}`, type: '2', mode: 0o777, linkName: 'busybox' })),
    { name: 'srv/', type: '5', mode: 0o755 },
    { name: 'srv/message', type: '0', mode: 0o644, data: 'hello\n' },
  ]);
}

async function asNobody(command: readonly string[], env: Record<string, string> = {}) {
  const drop = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', ...command];
  return await run('setpriv', drop, { env: { ...process.env, ...env }, maxBuffer: 2 ** 28, encoding: 'latin1' });
}

/** What a user sees of a tree: names, inodes, readable bytes, and every refusal. */
async function lookAround(root: string): Promise<readonly string[]> {
  const look = `cd "$1" && {
    find . -mindepth 1 -type d -printf '%P %y %m %U %G\\0' -o -printf '%P %y %m %U %G %s %n %T@ %l\\0'
    find . -type f -print0 | xargs -0 sha256sum --zero
  } 2>&1 | tr '\\n' '\\0'`;
  const { stdout } = await asNobody(['sh', '-c', look, 'sh', root], { LC_ALL: 'C' });
  return stdout.split('\0').sort();
}

async function mountsBelow(directory: string): Promise<readonly string[]> {
  return (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').filter((line) => line.includes(` ${directory}/`));
}
