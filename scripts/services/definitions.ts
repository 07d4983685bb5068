import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { clearKilledBuildkit } from './killed-buildkit.ts';
import { accepts, answersHttp, answersPing } from './ports.ts';
import type { Places, Remembered } from './state.ts';

/** One program that runs beside Clipyard on this machine. */
export interface Service {
  readonly name: string;
  readonly binary: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** A path of this state directory that stands in the arguments: tells our process from another checkout's. */
  readonly ownArgument: string;
  readonly address: string;
  ready(): Promise<boolean>;
  /** What has to go before it starts, when one before it was killed. */
  beforeStart?(): void;
}

export const BUCKET = 'clipyard';

/** Registry hosts on loopback speak plain http; GC keeps the cache below a fifth of the disk, the newest week longest. */
const buildkitConfig = (registry: string): string => `# written by scripts/services.sh
[registry."${registry}"]
  http = true

[worker.oci]
  enabled = true
  snapshotter = "overlayfs"
  binary = "runc"
  # Without CNI plugins a step shares the network of the daemon.
  networkMode = "host"
  gc = true
  [[worker.oci.gcpolicy]]
    filters = ["type==source.local", "type==exec.cachemount", "type==source.git.checkout"]
    keepDuration = "48h"
    maxUsedSpace = "2GB"
  [[worker.oci.gcpolicy]]
    all = true
    reservedSpace = "10GB"
    minFreeSpace = "10%"
    maxUsedSpace = "20%"

[worker.containerd]
  enabled = false

[history]
  maxAge = "48h"
  maxEntries = 50
`;

function buildkit(places: Places, remembered: Remembered): Service {
  const root = places.data('buildkit');
  const config = join(root, 'buildkitd.toml');
  mkdirSync(root, { recursive: true });
  mkdirSync(dirname(places.buildkitSocket), { recursive: true, mode: 0o700 });
  writeFileSync(config, buildkitConfig(`127.0.0.1:${remembered.registryPort}`));
  return {
    name: 'buildkit',
    binary: 'buildkitd',
    args: ['--config', config, '--root', root, '--addr', `unix://${places.buildkitSocket}`],
    // The daemon cuts a step's log at 2 MiB and 200 KiB/s unless told otherwise; full logs are kept.
    env: { BUILDKIT_STEP_LOG_MAX_SIZE: '-1', BUILDKIT_STEP_LOG_MAX_SPEED: '-1', TMPDIR: places.buildkitTemporary },
    ownArgument: root,
    address: `unix://${places.buildkitSocket}`,
    ready: () => accepts({ path: places.buildkitSocket }),
    beforeStart: () => {
      clearKilledBuildkit(root, places.buildkitTemporary);
    },
  };
}

function registry(places: Places, { registryPort }: Remembered): Service {
  const root = places.data('registry');
  return {
    name: 'registry',
    binary: 'olareg',
    // trace: a line a request (method, url, status, Range, lengths), from which tests and the demo show what was sent.
    args: `serve -v trace --addr 127.0.0.1 --port ${registryPort} --api-delete --api-blob-delete --dir`
      .split(' ')
      .concat(root),
    env: {},
    ownArgument: root,
    address: `127.0.0.1:${registryPort}`,
    ready: () => answersHttp(`http://127.0.0.1:${registryPort}/v2/`),
  };
}

function s3(places: Places, { s3Port, accessKey, secretKey }: Remembered): Service {
  const root = places.data('s3');
  const [buckets, users] = [join(root, 'buckets'), join(root, 'users')];
  for (const directory of [buckets, users]) mkdirSync(directory, { recursive: true });
  return {
    name: 's3',
    binary: 'versitygw',
    // --iam-dir must be absolute: versitygw changes its directory before it opens the users file.
    args: ['--port', `127.0.0.1:${s3Port}`, '--health', '/health', '--iam-dir', users, 'posix', buckets],
    // Keys by environment: arguments can be read by every user of the machine.
    env: { ROOT_ACCESS_KEY_ID: accessKey, ROOT_SECRET_ACCESS_KEY: secretKey },
    ownArgument: root,
    address: `http://127.0.0.1:${s3Port}`,
    ready: () => answersHttp(`http://127.0.0.1:${s3Port}/health`),
  };
}

function redis(places: Places, { redisPort }: Remembered): Service {
  const root = places.data('redis');
  return {
    name: 'redis',
    binary: 'redis-server',
    // A build that was promised to a client is on the disk; a server that evicts keys under pressure would lose builds.
    args: `--bind 127.0.0.1 --port ${redisPort} --appendonly yes --appendfsync always --save`
      .split(' ')
      // Without the title its arguments stay what they were: by them a process is told from another checkout's.
      .concat('', '--maxmemory-policy', 'noeviction', '--set-proc-title', 'no', '--dir', root),
    env: {},
    ownArgument: root,
    address: `redis://127.0.0.1:${redisPort}`,
    ready: () => answersPing(redisPort),
  };
}

export const servicesOf = (places: Places, remembered: Remembered): readonly Service[] => [
  registry(places, remembered),
  s3(places, remembered),
  buildkit(places, remembered),
  redis(places, remembered),
];

/** What every Clipyard command takes as its defaults. */
export function environment(
  places: Places,
  remembered: Remembered,
): readonly (readonly [name: string, value: string])[] {
  return [
    ['CLIPYARD_STATE', places.state],
    ['CLIPYARD_BUILDKIT', `unix://${places.buildkitSocket}`],
    ['CLIPYARD_BUILDKIT_CONTENT', join(places.data('buildkit'), 'runc-overlayfs/content')],
    ['CLIPYARD_REGISTRY', `127.0.0.1:${remembered.registryPort}`],
    ['CLIPYARD_STORE', `s3://${BUCKET}/store`],
    ['CLIPYARD_REDIS', `redis://127.0.0.1:${remembered.redisPort}`],
    ['AWS_ACCESS_KEY_ID', remembered.accessKey],
    ['AWS_SECRET_ACCESS_KEY', remembered.secretKey],
    ['AWS_REGION', 'us-east-1'],
    ['AWS_ENDPOINT_URL', `http://127.0.0.1:${remembered.s3Port}`],
  ];
}
