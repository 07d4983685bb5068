import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { clearKilledBuildkit, unmountBelow } from '../../services/killed-buildkit.ts';
import { accepts, answersHttp, answersPing, freePort } from '../../services/ports.ts';
import { Part } from './part.ts';

/** Workers and everything they stand on, all its own, below one directory: three on Redis, or two on one SQLite file. */
export interface Stage extends AsyncDisposable {
  readonly parts: readonly Part[];
  readonly workers: readonly Part[];
  /** `127.0.0.1:port` of each worker. */
  readonly servers: readonly string[];
  /** Distinct state directories of the workers: the first two share one. */
  readonly stateDirs: readonly string[];
  /** Address of the queue. */
  readonly queue: string;
  readonly registry: string;
  readonly registryDir: string;
  /** When the registry that runs was started, milliseconds since 1970. */
  registrySinceMs(): number;
  readonly buildkitDir: string;
  /** Settings of a command that reads what was published. */
  readonly env: Readonly<Record<string, string>>;
}

const ROOT = join(import.meta.dirname, '../../..');
const BUCKET = 'chaos';
const WORKERS = { redis: 3, sqlite: 2 };
export type QueueKind = keyof typeof WORKERS;
export const UPKEEP_SECONDS = 2;
/** Short times, so that what dies is found dead within the run; many attempts, as each may meet a fault. */
const CONFIG = {
  concurrency: 2,
  heartbeatSeconds: 1,
  // Some builds end within it, some are handed back.
  drainBudgetSeconds: 2,
  upkeepSeconds: UPKEEP_SECONDS,
  retry: { maxAttempts: 100, maxDelaySeconds: 4 },
  queue: { leaseSeconds: 4, warmWaitSeconds: 0 },
  disk: { keepFree: '500MB' },
};

export async function openStage(directory: string, kind: QueueKind): Promise<Stage> {
  const at = (...names: readonly string[]) => join(directory, ...names);
  for (const name of ['logs', 'redis', 'registry', 's3/buckets', 's3/users', 'buildkit', 'one', 'two'])
    await mkdir(at(name), { recursive: true });
  const installed = (name: string) => join(ROOT, '.clipyard/bin', name);
  const ports = await Promise.all(Array.from({ length: 3 + WORKERS[kind] }, () => freePort()));
  const [redisPort = 0, registryPort = 0, s3Port = 0, ...workerPorts] = ports;
  const keys = { access: randomBytes(10).toString('hex').toUpperCase(), secret: randomBytes(20).toString('hex') };
  const socket = at('buildkit', 'sock');
  const [buildkitConfig, buildkitTemporary] = [at('buildkit/buildkitd.toml'), at('buildkit/tmp')];
  await writeFile(buildkitConfig, buildkitToml(registryPort));
  await writeFile(at('worker.json'), JSON.stringify(CONFIG));
  const env = {
    CLIPYARD_BUILDKIT: `unix://${socket}`,
    CLIPYARD_BUILDKIT_CONTENT: at('buildkit/runc-overlayfs/content'),
    CLIPYARD_REGISTRY: `127.0.0.1:${registryPort}`,
    CLIPYARD_STORE: `s3://${BUCKET}/store`,
    CLIPYARD_SECRET_KEY: randomBytes(32).toString('hex'),
    CLIPYARD_LOG: 'info',
    AWS_ACCESS_KEY_ID: keys.access,
    AWS_SECRET_ACCESS_KEY: keys.secret,
    AWS_REGION: 'us-east-1',
    AWS_ENDPOINT_URL: `http://127.0.0.1:${s3Port}`,
  };
  const queue = kind === 'redis' ? `redis://127.0.0.1:${redisPort}` : `sqlite:${at('queue.db')}`;
  const part = (name: string, program: string, args: readonly string[], more: object, ready: () => Promise<boolean>) =>
    new Part({ name, program, args, logFile: at('logs', `${name}.log`), ready, ...more });
  const redis = part(
    'redis',
    installed('redis-server'),
    `--bind 127.0.0.1 --port ${redisPort} --appendonly yes --appendfsync always --dir ${at('redis')}`.split(' '),
    {},
    () => answersPing(redisPort),
  );
  const registry = part(
    'registry',
    installed('olareg'),
    `serve --addr 127.0.0.1 --port ${registryPort} --dir ${at('registry')}`.split(' '),
    {},
    () => answersHttp(`http://127.0.0.1:${registryPort}/v2/`),
  );
  const servers = [
    ...(kind === 'redis' ? [redis] : []),
    registry,
    part(
      's3',
      installed('versitygw'),
      ['--port', `127.0.0.1:${s3Port}`, '--health', '/health', '--iam-dir', at('s3/users'), 'posix', at('s3/buckets')],
      { env: { ROOT_ACCESS_KEY_ID: keys.access, ROOT_SECRET_ACCESS_KEY: keys.secret } },
      () => answersHttp(`http://127.0.0.1:${s3Port}/health`),
    ),
    part(
      'buildkit',
      installed('buildkitd'),
      ['--config', buildkitConfig, '--root', at('buildkit'), '--addr', `unix://${socket}`],
      {
        env: { PATH: `${dirname(installed('buildkitd'))}:${process.env['PATH'] ?? ''}`, TMPDIR: buildkitTemporary },
        beforeStart: () => {
          clearKilledBuildkit(at('buildkit'), buildkitTemporary);
        },
      },
      () => accepts({ path: socket }),
    ),
  ];
  const workers = workerPorts.map((port, number) =>
    part(
      `worker-${number + 1}`,
      process.execPath,
      [
        ...['--disable-warning=ExperimentalWarning', join(ROOT, 'src/bin/cli.ts'), '--json', 'worker'],
        ...['--config', at('worker.json'), '--listen', `127.0.0.1:${port}`, '--queue', queue],
        ...['--worker-id', `worker-${number + 1}`],
      ],
      { env: { ...env, CLIPYARD_STATE: at(number < 2 ? 'one' : 'two') } },
      () => accepts({ port, host: '127.0.0.1' }),
    ),
  );
  const stack = new AsyncDisposableStack();
  // The directory could not be removed.
  stack.defer(() => {
    unmountBelow(at('buildkit'));
  });
  try {
    for (const group of [servers, workers]) {
      for (const each of group) {
        stack.use(each);
        each.start();
      }
      await Promise.all(group.map((each) => each.untilReady()));
      if (group === servers) await createBucket(env);
    }
  } catch (thrown) {
    await stack.disposeAsync();
    throw thrown;
  }
  return {
    ...{ parts: [...servers, ...workers], workers, queue, env },
    servers: workerPorts.map((port) => `127.0.0.1:${port}`),
    stateDirs: [at('one'), ...(kind === 'redis' ? [at('two')] : [])],
    registry: env.CLIPYARD_REGISTRY,
    registryDir: at('registry'),
    registrySinceMs: () => registry.startedMs,
    buildkitDir: at('buildkit'),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

const buildkitToml = (registryPort: number): string => `[registry."127.0.0.1:${registryPort}"]
  http = true
[worker.oci]
  snapshotter = "overlayfs"
  networkMode = "host"
[worker.containerd]
  enabled = false
`;

async function createBucket(env: Readonly<Record<string, string>>): Promise<void> {
  const client = new S3Client({
    endpoint: env['AWS_ENDPOINT_URL'] ?? '',
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: env['AWS_ACCESS_KEY_ID'] ?? '', secretAccessKey: env['AWS_SECRET_ACCESS_KEY'] ?? '' },
  });
  await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
  client.destroy();
}
