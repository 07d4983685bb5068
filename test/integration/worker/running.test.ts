import { randomUUID } from 'node:crypto';
import { chmod, copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { openStore, readObject } from '../../../src/objects/index.ts';
import { OciLayout } from '../../../src/oci/index.ts';
import type { BuildQueue, BuildRecord } from '../../../src/queue/index.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { serviceSetting } from '../../support/services.ts';
import { smallContext } from '../../support/small-context.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';
import { clientQueue, startWorker, submitTestJob, waitForEnd } from '../../support/worker-process.ts';

const signal = AbortSignal.timeout(600_000);
const workspaceId = 'running';
const PATIENCE_MS = 60_000;

async function scene(): Promise<{ scratch: TemporaryDirectory; queue: BuildQueue; address: string; stateDir: string }> {
  const scratch = await temporaryDirectory('running');
  const address = `sqlite:${join(scratch.path, 'queue.db')}`;
  return { scratch, address, stateDir: join(scratch.path, 'state'), queue: await clientQueue(address) };
}

/** A context whose only step runs `script` in busybox. */
async function scriptContext(directory: string, script: string): Promise<string> {
  await mkdir(directory, { recursive: true });
  await copyFile('/bin/busybox', join(directory, 'busybox'));
  await chmod(join(directory, 'busybox'), 0o755);
  await writeFile(join(directory, 'stamp'), randomUUID());
  const run = JSON.stringify(['/bin/busybox', 'sh', '-c', script]);
  await writeFile(join(directory, 'Dockerfile'), `FROM scratch\nCOPY busybox stamp /bin/\nRUN ${run}\n`);
  return directory;
}

async function submit(queue: BuildQueue, contextDir: string, name: string): Promise<BuildRecord> {
  const imageId = `${name}_${process.pid}`;
  return await submitTestJob(queue, { workspaceId, imageId, spec: { contextDir, repository: `running/${imageId}` } });
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + PATIENCE_MS;
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error('it never came to that');
    await sleep(50);
  }
}

/** Whether any process of the machine has this word among its arguments; steps of the local buildkitd are such. */
async function isRunning(word: string): Promise<boolean> {
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const commandLine = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '');
    if (commandLine.startsWith('/bin/busybox') && commandLine.includes(word)) return true;
  }
  return false;
}

test('a drain in the middle of a push hands the build back, and another worker finishes it', async () => {
  const { address, queue, scratch, stateDir } = await scene();
  await using _scratch = scratch;
  await using _queue = queue;
  await using proxy = await FaultProxy.start(serviceSetting('CLIPYARD_REGISTRY'));
  proxy.inject({ path: /\/blobs\/uploads\// }, { kind: 'stall' }, { times: 4 });
  const common = { queue: address, stateDir, registry: proxy.address };
  await using first = await startWorker({ ...common, workerId: 'first', drainBudgetMs: 300 });
  const build = await submit(queue, await smallContext(join(scratch.path, 'context')), 'drained');
  await until(() => Promise.resolve(proxy.requests.some(({ fault }) => fault === 'stall')));
  first.child.kill('SIGTERM');
  expect(await first.ended).toBe(3);
  expect(await queue.get(workspaceId, build.buildId, { signal })).toMatchObject({ state: 'queued' });
  expect(await readdir(join(stateDir, 'tmp'))).toEqual([]);

  await using second = await startWorker({ ...common, workerId: 'second' });
  const { record } = await waitForEnd(queue, build);
  expect(record).toMatchObject({ state: 'done', workerId: 'second', result: { generation: 1 } });
  second.child.kill('SIGTERM');
  expect(await second.ended).toBe(0);
});

test('a drain waits for a build that ends within the budget, and takes no other', async () => {
  const { address, queue, scratch, stateDir } = await scene();
  await using _scratch = scratch;
  await using _queue = queue;
  await using worker = await startWorker({ queue: address, stateDir, workerId: 'only' });
  const under = await submit(queue, await scriptContext(join(scratch.path, 'a'), 'sleep 2'), 'under_way');
  const waiting = await submit(queue, await scriptContext(join(scratch.path, 'b'), 'true'), 'waiting');
  await until(async () => (await queue.get(workspaceId, under.buildId, { signal }))?.state === 'building');
  worker.child.kill('SIGTERM');
  expect(await worker.ended).toBe(0);
  expect(await queue.get(workspaceId, under.buildId, { signal })).toMatchObject({ state: 'done' });
  expect(await queue.get(workspaceId, waiting.buildId, { signal })).toMatchObject({ state: 'queued', attempt: 0 });
});

test('a rolling restart of all workers under load loses nothing', async ({ annotate }) => {
  const { address, queue, scratch, stateDir } = await scene();
  await using _scratch = scratch;
  await using _queue = queue;
  // One image was landing when its worker was killed: the folder has blobs, one of them cut off, and is no layout yet.
  const cutOff = join(stateDir, `landing/${workspaceId}-rolling_0_${process.pid}/blobs/sha256`);
  await mkdir(cutOff, { recursive: true });
  await writeFile(join(cutOff, 'a'.repeat(64)), 'half a bl');
  const start = (name: string) =>
    startWorker({ queue: address, stateDir, workerId: name, slots: 2, drainBudgetMs: 300, leaseMs: 20_000 });
  await using stack = new AsyncDisposableStack();
  const workers = await Promise.all(['a', 'b'].map(async (name) => stack.use(await start(name))));
  const builds = await Promise.all(
    Array.from({ length: 8 }, async (_, at) =>
      submit(queue, await scriptContext(join(scratch.path, String(at)), 'sleep 0.5'), `rolling_${at}`),
    ),
  );
  const codes: (number | undefined)[] = [];
  for (const [at, worker] of workers.entries()) {
    await until(async () => (await queue.depth({ signal })).running > 2);
    worker.child.kill('SIGTERM');
    codes.push(await worker.ended);
    stack.use(await start(`successor ${at}`));
  }
  // 0: what it had was finished, 3: some was handed back.
  await annotate(`exit codes ${codes.join(', ')}`);
  expect(codes.filter((code) => code !== 0 && code !== 3)).toEqual([]);
  for (const build of builds) {
    const { events, record } = await waitForEnd(queue, build);
    expect(record).toMatchObject({ state: 'done', result: { generation: 1 } });
    expect(events.map(({ cursor }) => cursor)).toEqual(events.map((_, at) => at + 1));
    // Handing back is no attempt, and no lease ran out.
    expect(record.attempt).toBe(1);
  }
});

test('a cancel ends the running step and leaves nothing behind', async ({ annotate }) => {
  const { address, queue, scratch, stateDir } = await scene();
  await using _scratch = scratch;
  await using _queue = queue;
  await using worker = await startWorker({ queue: address, stateDir, workerId: 'only' });
  const word = `clipyard-${randomUUID()}`;
  const script = `for i in ${word} $(seq 1 6000); do sleep 0.1; done`;
  const build = await submit(queue, await scriptContext(join(scratch.path, 'context'), script), 'canceled');
  await until(() => isRunning(word));
  await queue.cancel(workspaceId, build.buildId, 'no longer wanted', { signal });
  const canceledAt = performance.now();
  await until(async () => !(await isRunning(word)));
  await annotate(`the step was gone after ${Math.round(performance.now() - canceledAt)} ms`);
  await worker.sawLine(/"end":"canceled"/);
  expect(await queue.get(workspaceId, build.buildId, { signal })).toMatchObject({ state: 'canceled' });
  expect(await readdir(join(stateDir, 'tmp'))).toEqual(['worker-only']);
  expect(await readdir(join(stateDir, 'tmp', 'worker-only'))).toEqual(['.lock']);
  for (const name of await readdir(join(stateDir, 'landing'))) {
    const landing = await OciLayout.open(join(stateDir, 'landing', name), { signal });
    await using _free = await landing.lock({ signal, waitMs: 0 });
  }
  expect(await queue.depth({ signal })).toMatchObject({ queued: 0, running: 0, delayed: 0 });
});

test('a failing step is told with class, step, exit code, lines and last words, an image that is too large with its limit', async () => {
  const { address, queue, scratch, stateDir } = await scene();
  await using _scratch = scratch;
  await using _queue = queue;
  await using _worker = await startWorker({ queue: address, stateDir, workerId: 'only', imageBytes: 1e6 });
  const context = await scriptContext(join(scratch.path, 'context'), 'echo the last words >&2; exit 7');
  const { events, record } = await waitForEnd(queue, await submit(queue, context, 'failing'));
  expect(record).toMatchObject({
    state: 'failed',
    attempt: 1,
    failure: {
      code: 'BUILD_STEP_FAILED',
      phase: 'building',
      retryable: false,
      details: { class: 'user', exitCode: 7, firstLine: 3, lastLine: 3, logLines: ['the last words'] },
    },
  });
  expect(record.failure?.details['step']).toContain('exit 7');
  expect(record.failure?.details['logs']).toMatch(/\/logs\/running\/.*\/index\.json$/);
  expect(events.at(-1)).toMatchObject({ kind: 'failure', phase: 'failed' });

  // busybox alone has more.
  const large = await submit(queue, await scriptContext(join(scratch.path, 'large'), 'true'), 'large');
  const { record: ended } = await waitForEnd(queue, large);
  expect(ended).toMatchObject({ attempt: 1, failure: { code: 'LIMIT_EXCEEDED', retryable: false } });
  expect(ended.failure?.details).toMatchObject({ class: 'limit', limit: 'image-bytes' });
  const tags = await fetch(`http://${serviceSetting('CLIPYARD_REGISTRY')}/v2/running/${large.imageId}/tags/list`);
  expect(await tags.text()).not.toContain(`${workspaceId}-${large.imageId}`);
});

test('a phase that takes too long ends the build with its name', async () => {
  const { address, queue, scratch, stateDir } = await scene();
  await using _scratch = scratch;
  await using _queue = queue;
  await using _worker = await startWorker({
    queue: address,
    stateDir,
    workerId: 'only',
    ...{ buildingMs: 1500, imageBytes: 1e6 },
  });
  const context = await scriptContext(join(scratch.path, 'context'), 'sleep 600');
  const { record } = await waitForEnd(queue, await submit(queue, context, 'slow'));
  expect(record.failure).toMatchObject({
    code: 'DEADLINE_EXCEEDED',
    retryable: false,
    details: { phase: 'building', limit: 'building' },
  });
});

test('every line a step prints is in the store, and watchers see a bounded part live', async () => {
  const { address, queue, scratch, stateDir } = await scene();
  await using _scratch = scratch;
  await using _queue = queue;
  await using _worker = await startWorker({ queue: address, stateDir, workerId: 'only' });
  // 2.3 MB at once: beyond both bounds at which the daemon clips a log unless told otherwise.
  const lines = 340_000;
  const context = await scriptContext(join(scratch.path, 'context'), `/bin/busybox seq 1 ${lines}`);
  const { events, record } = await waitForEnd(queue, await submit(queue, context, 'talking'));
  expect(record.state).toBe('done');
  const liveBytes = events.reduce((sum, { bytes, kind }) => sum + (kind === 'log' ? bytes : 0), 0);
  expect(liveBytes).toBeLessThanOrEqual(1_000_000);
  expect(events.map(({ what }) => (what as { event?: string }).event)).toContain('log-cut');

  await using store = openStore(serviceSetting('CLIPYARD_STORE'), process.env);
  const prefix = `logs/${workspaceId}/${record.jobId}/1`;
  const read = async (name: string) => {
    const { bytes } = await readObject(store, `${prefix}/${name}`, { signal, maxBytes: 1 << 24 });
    return Buffer.from(bytes).toString();
  };
  const index = JSON.parse(await read('index.json')) as { chunks: number; lines: number; cutLines: number };
  expect(index).toMatchObject({ lines, cutLines: 0 });
  const printed: string[] = [];
  for (let chunk = 1; chunk <= index.chunks; chunk++) {
    const text = await read(`${String(chunk).padStart(5, '0')}.jsonl`);
    for (const line of text.trimEnd().split('\n')) printed.push((JSON.parse(line) as { text: string }).text);
  }
  expect(printed).toEqual(Array.from({ length: lines }, (_, at) => String(at + 1)));
});
