import { grpcTarget } from '../../buildkit/index.ts';
import { SettingsSchema } from '../../config/index.ts';
import { messageOf, WorkerError } from '../../errors/index.ts';
import { openStore } from '../../objects/index.ts';
import { checkQueueAddress } from '../../queue/index.ts';
import { loadCredentials } from '../../registry/index.ts';
import { parseMatrixConfig } from '../../release/index.ts';
import { connectWorker } from '../../service/index.ts';
import { readServicesFile } from '../../services/index.ts';
import { readWorkerConfig } from '../../worker/index.ts';
import type { CommandContext } from '../context.ts';
import { formatTable, writeResult } from '../output.ts';
import { parseRegistryTarget, parseSize } from '../parse-options.ts';
import { trustOf } from '../services.ts';
import { readNamedFile } from '../tag-context.ts';

export interface ConfigFlags {
  readonly worker?: string;
  readonly matrix?: string;
  readonly services?: string;
}

interface Checked {
  /** A variable, or the file that was named. */
  readonly name: string;
  /** Absent where nothing is set and there is no default. */
  readonly value?: string | undefined;
  readonly from: 'environment' | 'default' | 'file';
  readonly problem?: string | undefined;
}

/** `clipyard config check`. Throws CONFIG_INVALID with all that is wrong, after the result was written. */
export async function checkConfig(flags: ConfigFlags, json: boolean, context: CommandContext): Promise<void> {
  const checked = [...(await checkVariables(context)), ...unknownVariables(context), ...(await checkFiles(flags))];
  writeResult(context.stdout, { ok: checked.every(({ problem }) => problem === undefined), checked }, json, () =>
    formatTable(
      ['name', 'from', 'value'],
      checked.map(({ from, name, value = '' }) => [name, from, value]),
    ),
  );
  const problems = checked.filter(({ problem }) => problem !== undefined);
  if (problems.length > 0)
    throw new WorkerError(
      'CONFIG_INVALID',
      problems.map(({ name, problem }) => `${name}: ${problem ?? ''}`).join('\n  '),
    );
}

async function checkVariables(context: CommandContext): Promise<readonly Checked[]> {
  const { env, settings } = context;
  const checks: Readonly<Record<string, (value: string) => unknown>> = {
    CLIPYARD_BUILDKIT: (address) => grpcTarget(address),
    CLIPYARD_QUEUE: (address) => {
      checkQueueAddress(address);
    },
    CLIPYARD_REGISTRY: (value) => parseRegistryTarget(value),
    CLIPYARD_STORE: async (url) => {
      await openStore(url, env)[Symbol.asyncDispose]();
    },
    CLIPYARD_PACK_CACHE: async (url) => {
      await openStore(url, env)[Symbol.asyncDispose]();
    },
    CLIPYARD_PACK_CACHE_SIZE: (value) => parseSize(value, 'CLIPYARD_PACK_CACHE_SIZE'),
    CLIPYARD_CA_FILE: () => trustOf(context),
    CLIPYARD_SERVER: (server) => {
      connectWorker({ server, token: env['CLIPYARD_TOKEN'] || undefined, trust: trustOf(context) })[Symbol.dispose]();
    },
    DOCKER_CONFIG: async () => await loadCredentials(env),
  };
  const rows = Object.entries(SettingsSchema.shape).map(async ([name, schema]): Promise<Checked> => {
    const given = env[name] || undefined;
    const unset = schema.safeParse(undefined);
    const value = given ?? (unset.success ? unset.data : undefined);
    const check = checks[name];
    const problem = value === undefined || check === undefined ? undefined : await problemOf(() => check(value));
    return { name, value: shown(name, value), from: given === undefined ? 'default' : 'environment', problem };
  });
  return [
    ...(await Promise.all(rows)),
    // What comes of CLIPYARD_STATE where nothing else is said.
    { name: 'cache directory', value: settings.cacheDir, from: 'default' },
  ];
}

/** A variable that nobody reads is most often a misspelt one. */
function unknownVariables({ env }: CommandContext): readonly Checked[] {
  return Object.entries(env)
    .filter(
      ([name, value]) => name.startsWith('CLIPYARD_') && value !== '' && !Object.hasOwn(SettingsSchema.shape, name),
    )
    .filter(([name]) => !READ_ELSEWHERE.has(name))
    .map(([name]) => ({ name, from: 'environment', problem: 'there is no such setting' }));
}

/** Read where no setting is: of workers alone (docs/operations.md), and by the scripts and tests of this project. */
const READ_ELSEWHERE: ReadonlySet<string> = new Set([
  'CLIPYARD_SECRET_KEY',
  'CLIPYARD_FUZZ_RUNS',
  'CLIPYARD_KILL_SEED',
  'CLIPYARD_KILL_STEP',
  'CLIPYARD_RANDOM_STACKS',
  'CLIPYARD_RETENTION_KILLS',
  'CLIPYARD_RETENTION_REGISTRIES',
  'CLIPYARD_SOAK_SECONDS',
  'CLIPYARD_SOAK_SEED',
  'CLIPYARD_SOAK_TRIAL',
  'CLIPYARD_SOAK_TRIALS',
  'CLIPYARD_UPDATE_GOLDEN',
  'CLIPYARD_WIDE_NAMES',
]);

async function checkFiles({ matrix, services, worker }: ConfigFlags): Promise<readonly Checked[]> {
  const files: readonly (readonly [string | undefined, (path: string) => unknown])[] = [
    [worker, async (path) => await readWorkerConfig(path)],
    [matrix, async (path) => parseMatrixConfig(await readNamedFile(path, 'the configuration'))],
    [services, async (path) => await readServicesFile({ path, workingDir: process.cwd(), repo: undefined })],
  ];
  const named = files.flatMap(([path, read]) => (path === undefined ? [] : [{ path, read }]));
  return await Promise.all(
    named.map(async ({ path, read }) => ({
      name: path,
      from: 'file' as const,
      problem: await problemOf(() => read(path)),
    })),
  );
}

async function problemOf(check: () => unknown): Promise<string | undefined> {
  try {
    await check();
    return undefined;
  } catch (thrown) {
    return messageOf(thrown);
  }
}

/** Without what should not be on a screen: the token, and a password in an address. */
function shown(name: string, value: string | undefined): string | undefined {
  return name === 'CLIPYARD_TOKEN' && value !== undefined
    ? '[redacted]'
    : value?.replace(/\/\/[^/@]*@/, '//[redacted]@');
}
