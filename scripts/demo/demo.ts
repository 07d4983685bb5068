// Builds, publishes, mounts and runs a real image, and prints what it took. See scripts/demo.sh.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, linkSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { formatBytes, formatSeconds, formatTable } from '../../src/cli/index.ts';
import type { BuildResult } from '../../src/jobs/index.ts';
import { type SeenRequest, startCountingProxy } from './counting-proxy.ts';
import { debianRootTar } from './debian-root.ts';

const root = join(import.meta.dirname, '..', '..');
const stateDir = process.env['CLIPYARD_STATE'] ?? join(root, '.clipyard');
const registry = process.env['CLIPYARD_REGISTRY'] ?? '';
const caBundle = '/etc/ssl/certs/ca-certificates.crt';

const began = performance.now();
say('a Debian root tree (debootstrap)');
const tar = debianRootTar(process.env);
const base = await build(baseContext(tar.path), 'debian', `${registry}/demo/base`, [
  '--file',
  join(root, 'scripts/demo/base.Dockerfile'),
]);
const app = await build(join(root, 'scripts/demo'), 'numpy', `${registry}/demo/app`, [
  ...[
    '--file',
    join(root, 'scripts/demo/app.Dockerfile'),
    '--build-arg',
    `BASE=${base.storageRef}@${base.manifestDigest}`,
  ],
  ...(existsSync(caBundle) ? ['--ca-bundle', caBundle] : []),
]);

say('mount from another state directory, an empty cache and another address; run python3');
await using proxy = await startCountingProxy(registry);
const otherState = join(stateDir, 'demo-runtime');
rmSync(otherState, { recursive: true, force: true });
const runBegan = performance.now();
const run = await clipyard(
  [
    '--json',
    'run',
    'demo/numpy',
    '--storage-ref',
    `${proxy.address}/demo/app`,
    '--',
    'python3',
    '-c',
    'import numpy; print("numpy", numpy.__version__, "on", numpy.arange(10).sum())',
  ],
  { CLIPYARD_STATE: otherState, CLIPYARD_CACHE: join(otherState, 'cache') },
);
const runMs = performance.now() - runBegan;
process.stdout.write(`\n${run.stdout}\n`);
report(app, runMs, run.stderr, proxy.requests);
process.stdout.write(`total ${formatSeconds(performance.now() - began)}\n`);

/** A context that holds nothing but the tar, so that nothing else is sent. */
function baseContext(tarPath: string): string {
  const directory = join(stateDir, 'demo-base');
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const target = join(directory, 'rootfs.tar');
  try {
    linkSync(tarPath, target);
  } catch {
    copyFileSync(tarPath, target); // the cache is on another filesystem
  }
  return directory;
}

async function build(context: string, imageId: string, target: string, more: readonly string[]): Promise<BuildResult> {
  say(`build demo/${imageId}`);
  const { stdout } = await clipyard(
    [
      'build',
      '--json',
      '--context',
      context,
      '--workspace',
      'demo',
      '--image-id',
      imageId,
      '--registry',
      target,
      ...more,
    ],
    {},
  );
  const result = JSON.parse(stdout) as BuildResult;
  const count = (how: string) => result.layers.filter(({ packed }) => packed === how).length;
  process.stdout.write(
    `  ${result.layers.length} layers: ${count('new')} new, ${count('cached')} cached, ${count('kept')} kept; ${formatBytes(result.bytesPushed)} pushed; BuildKit had ${result.buildkit.cachedSteps} of ${result.buildkit.steps} steps\n`,
  );
  return result;
}

async function clipyard(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<{ stdout: string; stderr: string }> {
  const child = spawn(join(root, 'scripts/clipyard'), args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const closed = once(child, 'close');
  const [stdout, stderr, [exitCode]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    closed as Promise<[number | null]>,
  ]);
  if (exitCode !== 0)
    throw new Error(`clipyard ${args.join(' ')} ended with ${String(exitCode)}:\n${stderr.slice(-4000)}`);
  return { stdout, stderr };
}

function report(result: BuildResult, durationMs: number, stderr: string, requests: readonly SeenRequest[]): void {
  const stat = JSON.parse(stderr.split('\n').find((line) => line.includes('"event":"stat"')) ?? '{}') as {
    mountMs?: number;
    archiveBytes?: number;
  };
  const stored = result.layers.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const plain = result.layers.reduce((sum, { plainBytes }) => sum + plainBytes, 0);
  const blobs = requests.filter(({ path }) => path.includes('/blobs/'));
  const fetched = blobs.reduce((sum, { bytes }) => sum + bytes, 0);
  const ranged = blobs.filter(
    ({ method, range, status }) => method === 'GET' && range !== undefined && status === 206,
  ).length;
  process.stdout.write(
    `${formatTable(
      ['phase', 'seconds >', 'bytes >'],
      [
        ...result.phases.map(({ bytes, durationMs: ms, name }) => [
          name,
          formatSeconds(ms),
          bytes === 0 ? '' : formatBytes(bytes),
        ]),
        ['mount (kernel)', formatSeconds(stat.mountMs ?? 0), formatBytes(stat.archiveBytes ?? 0)],
        ['run, import numpy', formatSeconds(durationMs), formatBytes(fetched)],
      ],
    )}\nimage ${formatBytes(plain)} plain, ${formatBytes(stored)} stored, ${result.archives[0]?.entries ?? 0} entries; the run fetched ${formatBytes(fetched)} (${((100 * fetched) / stored).toFixed(1)} % of the blobs) in ${ranged} ranged GETs, ${blobs.length - ranged} other blob requests\n`,
  );
}

function say(what: string): void {
  process.stdout.write(`[demo] ${what}\n`);
}
