import { access, constants, readFile, statfs } from 'node:fs/promises';
import { connectBuildkit } from '../../buildkit/index.ts';
import { messageOf, WorkerError } from '../../errors/index.ts';
import { makeDirectory } from '../../files/index.ts';
import { findNativeTool } from '../../native/index.ts';
import { findProgram } from '../../release/index.ts';
import type { CommandContext } from '../context.ts';
import { formatBytes, writeResult } from '../output.ts';
import { parseRegistryTarget } from '../parse-options.ts';
import { objectStore, registryClient } from '../services.ts';

interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly found: string;
  /** What to do about it. */
  readonly advice?: string;
}

/** Of statfs(2): filesystems the kernel does not mount an EROFS image from. */
const REFUSED_FILESYSTEMS: Readonly<Record<number, string>> = { 16914836: 'tmpfs', 2035054128: 'overlayfs' };
const CHECK_DEADLINE_MS = 10_000;

/** `clipyard doctor`: whether nothing is missing. */
export async function doctor(json: boolean, context: CommandContext): Promise<boolean> {
  const checks = await Promise.all(checksOf(context).map(([name, check]) => runCheck(name, check)));
  const ok = checks.every((check) => check.ok);
  writeResult(context.stdout, { ok, checks }, json, () => checks.map(checkLine).join(''));
  return ok;
}

function checkLine({ advice, found, name, ok }: Check): string {
  return `${ok ? 'ok     ' : 'MISSING'}  ${name}: ${found}${advice === undefined ? '' : `\n         → ${advice}`}\n`;
}

type CheckBody = (signal: AbortSignal) => Promise<string>;

async function runCheck(name: string, body: CheckBody): Promise<Check> {
  try {
    return { name, ok: true, found: await body(AbortSignal.timeout(CHECK_DEADLINE_MS)) };
  } catch (thrown) {
    const advice = thrown instanceof Advice ? thrown.advice : undefined;
    return {
      name,
      ok: false,
      found: thrown instanceof WorkerError ? `${thrown.code}: ${thrown.message}` : messageOf(thrown),
      ...(advice !== undefined && { advice }),
    };
  }
}

class Advice extends WorkerError {
  readonly advice: string;

  constructor(message: string, advice: string) {
    super('CONFIG_INVALID', message);
    this.advice = advice;
  }
}

function checksOf(context: CommandContext): readonly (readonly [name: string, check: CheckBody])[] {
  const { settings, tools } = context;
  return [
    ['node', checkNode],
    ['kernel erofs', checkErofs],
    ['fuse', checkFuse],
    ['privilege', () => checkPrivilege(process.getuid?.(), context.env['PATH'] ?? '')],
    ['runc', checkRunc(context)],
    [
      'native tools',
      () =>
        Promise.resolve(
          ['clipyard-index', 'clipyard-mountd', 'clipyard-compare', 'clipyard-hash']
            .map((tool) => findNativeTool(tool as 'clipyard-index', tools))
            .join(', '),
        ),
    ],
    ['state directory', () => checkStateDir(settings.stateDir)],
    ['buildkitd', checkBuildkit(context)],
    ['registry', checkRegistry(context)],
    ['store', checkStore(context)],
  ];
}

function checkNode(): Promise<string> {
  if (Number(process.versions.node.split('.')[0]) >= 24) return Promise.resolve(process.version);
  return Promise.reject(new Advice(process.version, 'Node 24 or newer is needed; scripts/setup.sh brings it'));
}

async function checkErofs(): Promise<string> {
  const filesystems = await readFile('/proc/filesystems', 'utf8');
  const release = (await readFile('/proc/sys/kernel/osrelease', 'utf8')).trim();
  const [major = 0, minor = 0] = release.split('.').map(Number);
  if (!/\berofs$/m.test(filesystems))
    throw new Advice(`Linux ${release} without erofs`, 'load the module: modprobe erofs');
  if (major < 6 || (major === 6 && minor < 12))
    throw new Advice(`Linux ${release}`, 'file-backed EROFS mounts need Linux 6.12 or newer');
  return `Linux ${release}`;
}

async function checkFuse(): Promise<string> {
  await access('/dev/fuse', constants.R_OK | constants.W_OK).catch(() => {
    throw new Advice(
      '/dev/fuse cannot be used',
      'load the module (modprobe fuse) and, in a container, pass --device /dev/fuse',
    );
  });
  return '/dev/fuse';
}

/** Root may do all; anybody else may mount, read-only, through fusermount3. */
export async function checkPrivilege(uid: number | undefined, path: string): Promise<string> {
  if (uid === 0) return 'root';
  if ((await programOn(path, 'fusermount3')) !== undefined)
    return `uid ${String(uid)}: mounts by engine fuse, read-only; run, --rw and engine erofs need root`;
  throw new Advice(
    `uid ${String(uid)}, and fusermount3 is not on the PATH`,
    'install the Debian package fuse3 to mount without root; build, index, ls and cat need neither',
  );
}

async function programOn(path: string, name: string): Promise<string | undefined> {
  return (await findProgram(name, 'auto', { PATH: path }))?.path;
}

function checkRunc({ env }: CommandContext): CheckBody {
  return async () => {
    const found = await programOn(env['PATH'] ?? '', 'runc');
    if (found !== undefined) return found;
    throw new Advice('runc is not on the PATH', 'install the Debian package runc (scripts/setup.sh does)');
  };
}

async function checkStateDir(stateDir: string): Promise<string> {
  await makeDirectory(stateDir);
  const { bavail, bsize, type } = await statfs(stateDir);
  const refused = REFUSED_FILESYSTEMS[type];
  if (refused !== undefined)
    throw new Advice(
      `${stateDir} lies on ${refused}`,
      'the kernel mounts no image from there: set CLIPYARD_STATE to a folder on ext4, xfs or btrfs',
    );
  return `${stateDir} (${formatBytes(bavail * bsize)} free)`;
}

function checkBuildkit({ log, settings }: CommandContext): CheckBody {
  return async (signal) => {
    await using client = await connectBuildkit({ address: settings.buildkitAddress, log, signal });
    return `${settings.buildkitAddress} (${(await client.info({ signal })).version})`;
  };
}

function checkRegistry(context: CommandContext): CheckBody {
  return async (signal) => {
    const { registry } = parseRegistryTarget(context.settings.registry);
    await using client = await registryClient(context);
    await client.ping(registry, { signal });
    return registry;
  };
}

function checkStore(context: CommandContext): CheckBody {
  return async (signal) => {
    await using store = objectStore(context);
    await store.check({ signal });
    return store.url;
  };
}
