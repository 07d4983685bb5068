// `node scripts/soak/recovery.ts [LEASE_SECONDS…]` (default 30 5): two workers on one SQLite file and on one Redis, that of the
// services; the one that runs a step is killed. A line of JSON a queue and lease: until the other has the build, until it is done.
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { contextTar } from '../../src/buildkit/index.ts';
import { type BuildQueue, openQueue } from '../../src/queue/index.ts';
import { connectWorker } from '../../src/service/index.ts';
import { parseBuildSpec } from '../../src/worker/index.ts';
import { accepts, freePort } from '../services/ports.ts';
import { Part } from './chaos/part.ts';

const ROOT = join(import.meta.dirname, '../..');
const { env } = process;
const STEP_SECONDS = 3;
const WORKSPACE = 'recovery-time';
const leases = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [30, 5];
const parent = join(resolve(env['CLIPYARD_STATE'] ?? '.clipyard'), 'tmp');
await mkdir(parent, { recursive: true });
const directory = await mkdtemp(join(parent, 'recovery-'));
const { signal } = new AbortController();

/** A context like no other, with one step that takes its time. */
async function makeContext(name: string): Promise<string> {
  const path = join(directory, name);
  await mkdir(path, { recursive: true });
  await copyFile('/bin/busybox', join(path, 'busybox'));
  await writeFile(join(path, 'stamp'), `${name} ${directory}`);
  const step = JSON.stringify(['/bin/busybox', 'sh', '-c', `echo begun; /bin/busybox sleep ${STEP_SECONDS}`]);
  await writeFile(join(path, 'Dockerfile'), `FROM scratch\nCOPY busybox stamp /bin/\nRUN ${step}\n`);
  return path;
}

async function submit(server: string, name: string): Promise<string> {
  using client = connectWorker({ server, token: undefined, trust: {} });
  const { digest } = await client.builds.upload(WORKSPACE, contextTar(await makeContext(name), { signal }), { signal });
  const spec = parseBuildSpec({ imageId: name, context: { type: 'uploaded', digest } });
  const rest = { secrets: [], idempotencyKey: undefined, priority: undefined, maxAgeMs: undefined };
  const { build } = await client.builds.submit(WORKSPACE, { spec, ...rest, timeoutMs: undefined }, { signal });
  return build.buildId;
}

interface Times {
  readonly takenMs: number;
  readonly doneMs: number;
}

/** From `onBegun`, which is called when the step has said its word, to the second attempt and to the end. */
async function follow(
  queue: BuildQueue,
  buildId: string,
  onBegun: (workerId: string) => Promise<void>,
): Promise<Times> {
  let begunMs: number | undefined;
  let takenMs = 0;
  for await (const { attempt, kind } of queue.watch(WORKSPACE, buildId, { after: 0, signal })) {
    if (begunMs === undefined && kind === 'log') {
      const record = await queue.get(WORKSPACE, buildId, { signal });
      await onBegun(record?.workerId ?? '');
      begunMs = performance.now();
    }
    if (attempt === 2 && takenMs === 0 && begunMs !== undefined && kind === 'state')
      takenMs = performance.now() - begunMs;
  }
  const record = await queue.get(WORKSPACE, buildId, { signal });
  if (record?.state !== 'done')
    throw new Error(`the build is ${String(record?.state)}: ${String(record?.failure?.message)}`);
  return { takenMs: Math.round(takenMs), doneMs: Math.round(performance.now() - (begunMs ?? 0)) };
}

async function measure(address: string, leaseSeconds: number, name: string): Promise<object> {
  const config = join(directory, `${name}.json`);
  await writeFile(config, JSON.stringify({ queue: { leaseSeconds }, heartbeatSeconds: 1 }));
  await using stack = new AsyncDisposableStack();
  const servers: string[] = [];
  const workers = new Map<string, Part>();
  for (const workerId of ['a', 'b']) {
    const port = await freePort();
    const args = ['--disable-warning=ExperimentalWarning', join(ROOT, 'src/bin/cli.ts'), '--json', 'worker'];
    const flags = ['--config', config, '--listen', `127.0.0.1:${port}`, '--queue', address, '--worker-id', workerId];
    const worker = stack.use(
      new Part({
        name: workerId,
        program: process.execPath,
        args: [...args, ...flags],
        env: { CLIPYARD_STATE: join(directory, name) },
        logFile: join(directory, `${name}-${workerId}.log`),
        ready: () => accepts({ port, host: '127.0.0.1' }),
      }),
    );
    worker.start();
    await worker.untilReady();
    servers.push(`127.0.0.1:${port}`);
    workers.set(workerId, worker);
  }
  const settings = { leaseMs: leaseSeconds * 1000, maxAttempts: 8, maxRunningPerWorkspace: 8, warmWaitMs: 0 };
  await using queue = await openQueue(address, { ...settings, weights: new Map(), now: Date.now });
  const [server = ''] = servers;
  const undisturbed = await follow(queue, await submit(server, `${name}_whole`), () => Promise.resolve());
  const killed = await follow(queue, await submit(server, `${name}_killed`), async (workerId) => {
    await workers.get(workerId)?.kill();
  });
  return {
    queue: address.split(':')[0],
    leaseSeconds,
    stepSeconds: STEP_SECONDS,
    undisturbedMs: undisturbed.doneMs,
    ...killed,
  };
}

try {
  for (const leaseSeconds of leases) {
    const name = `lease${leaseSeconds}`;
    const redis = `${env['CLIPYARD_REDIS'] ?? 'redis://127.0.0.1:6379'}?prefix=recovery-${process.pid}-${leaseSeconds}`;
    for (const address of [`sqlite:${join(directory, `${name}.db`)}`, redis]) {
      const kind = address.startsWith('sqlite') ? 'sqlite' : 'redis';
      console.log(JSON.stringify(await measure(address, leaseSeconds, `${kind}_${name}_${process.pid}`)));
    }
  }
} finally {
  await rm(directory, { recursive: true, force: true });
}
