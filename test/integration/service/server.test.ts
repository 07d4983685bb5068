import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import { BuildServiceClient } from '../../../src/gen/clipyard/v1/build.ts';
import { type HealthCheckResponse, HealthClient } from '../../../src/gen/grpc/health/v1/health.ts';
import type { StoredEvent } from '../../../src/queue/index.ts';
import { OWN_WORKSPACE } from '../../../src/service/index.ts';
import { parseBuildSpec, type SubmitRequest } from '../../../src/worker/index.ts';
import { worker } from '../../support/queue/submissions.ts';
import { queueBuilds } from '../../support/service/queue-builds.ts';
import { grant, startService, type TestServer } from '../../support/service/test-server.ts';
import { TcpProxy } from '../../support/tcp-proxy.ts';

const { signal } = new AbortController();
const submission = (imageId: string, more: Partial<SubmitRequest> = {}): SubmitRequest => ({
  spec: parseBuildSpec({ imageId, context: { type: 'inline', dockerfile: 'FROM scratch' }, buildArgs: { A: 'b' } }),
  secrets: [],
  idempotencyKey: undefined,
  priority: undefined,
  maxAgeMs: undefined,
  timeoutMs: undefined,
  ...more,
});

/** Takes the oldest build, tells this much of it, and ends it. */
async function runNext({ queue }: TestServer, logs: number): Promise<void> {
  await using lease = await queue.take(worker('w1'), { signal });
  if (lease === undefined) throw new Error('nothing to take');
  const about = { timeMs: Date.now(), phase: 'building', bytes: 0 } as const;
  await lease.tell([{ ...about, kind: 'state', what: { state: 'building' } }]);
  for (let n = 0; n < logs; n++)
    await lease.tell([{ ...about, kind: 'log', what: { stepId: '1', stream: 1, data: `line ${n}\n` } }]);
  await lease.end({ state: 'done', result: { imageTag: 't' } });
}

async function collect(events: AsyncIterable<StoredEvent>): Promise<readonly StoredEvent[]> {
  const seen: StoredEvent[] = [];
  for await (const event of events) seen.push(event);
  return seen;
}

test('a build is submitted, watched to its end, listed and shown', async () => {
  await using server = await startService();
  using client = server.client();
  const { build, how } = await client.builds.submit('a', submission('web', { priority: 7 }), { signal });
  expect([how, build.state, build.workspaceId, build.priority, build.position]).toEqual([
    'queued',
    'queued',
    'a',
    7,
    0,
  ]);
  const watching = collect(client.builds.watch('a', build.buildId, { after: 0, signal }));
  await runNext(server, 3);
  const events = await watching;
  expect(events).toEqual(await collect(server.queue.watch('a', build.buildId, { after: 0, signal })));
  expect(events.at(-1)).toMatchObject({
    kind: 'state',
    phase: 'done',
    what: { state: 'done', result: { imageTag: 't' } },
  });
  expect(await client.builds.get('a', build.buildId, { signal })).toMatchObject({
    state: 'done',
    result: { imageTag: 't' },
  });
  const listed = await client.builds.list('a', { limit: 10 }, { signal });
  expect(listed.records.map(({ buildId }) => buildId)).toEqual([build.buildId]);
});

test('the same idempotency key gives the same build, and lists go page by page', async () => {
  await using server = await startService();
  using client = server.client();
  const first = await client.builds.submit('a', submission('one', { idempotencyKey: 'k' }), { signal });
  const second = await client.builds.submit('a', submission('two', { idempotencyKey: 'k' }), { signal });
  expect([second.how, second.build.buildId]).toEqual(['repeated', first.build.buildId]);
  for (const imageId of ['x', 'y']) await client.builds.submit('a', submission(imageId), { signal });
  const page = await client.builds.list('a', { limit: 2 }, { signal });
  const rest = await client.builds.list(
    'a',
    { limit: 2, ...(page.next !== undefined && { page: page.next }) },
    { signal },
  );
  expect([...page.records, ...rest.records].map(({ imageId }) => imageId)).toEqual(['y', 'x', 'one']);
  expect(rest.next).toBeUndefined();
});

test('a watch over connections that break misses nothing and sees nothing twice', async () => {
  await using server = await startService();
  await using proxy = await TcpProxy.start(server.address);
  using client = server.client(undefined, proxy.address);
  const { build } = await client.builds.submit('a', submission('web'), { signal });
  proxy.cut();
  proxy.cutAfter(300, 1000, 2500, 2500, 4000);
  const watching = collect(client.builds.watch('a', build.buildId, { after: 0, signal }));
  await runNext(server, 200);
  const events = await watching;
  expect(proxy.connections).toBeGreaterThan(4);
  expect(events.map(({ cursor }) => cursor)).toEqual(events.map((_, at) => at + 1));
  expect(events).toEqual(await collect(server.queue.watch('a', build.buildId, { after: 0, signal })));
});

test('an upload begins again where its connection breaks, and gives up on what another try does not help', async () => {
  const stored: number[] = [];
  const takeAll = async (_: string, bytes: AsyncIterable<Uint8Array>) => {
    let sizeBytes = 0;
    for await (const piece of bytes) sizeBytes += piece.length;
    stored.push(sizeBytes);
    return { digest: 'sha256:1', sizeBytes };
  };
  await using queue = await startService();
  await using server = await startService({ builds: { ...queueBuilds(queue.queue), upload: takeAll } });
  await using proxy = await TcpProxy.start(server.address);
  using client = server.client(undefined, proxy.address);
  let opened = 0;
  const content = async function* () {
    opened += 1;
    for (let sent = 0; sent < 8; sent += 1) {
      yield Buffer.alloc(100_000, sent);
      await new Promise(setImmediate);
      if (opened < 3 && sent === opened) proxy.cut();
    }
  };
  expect(await client.upload('a', content, { signal })).toEqual({ digest: 'sha256:1', sizeBytes: 800_000 });
  expect(opened).toBe(3);
  // What broke off was never taken for the whole.
  expect(stored).toEqual([800_000]);
  const broken = async function* () {
    opened += 1;
    yield await Promise.resolve(Buffer.alloc(10));
    throw new Error('the disk is gone');
  };
  await expect(client.upload('a', broken, { signal })).rejects.toThrow('the disk is gone');
  expect(opened).toBe(4);
});

test('a watch goes on when the server is stopped and another one comes', async () => {
  await using server = await startService();
  using client = server.client();
  const { build } = await client.builds.submit('a', submission('web'), { signal });
  const events = client.builds.watch('a', build.buildId, { after: 0, signal })[Symbol.asyncIterator]();
  expect((await events.next()).value).toMatchObject({ cursor: 1 });
  await server.stop();
  await using _ = await startService({ listen: server.address, builds: queueBuilds(server.queue) });
  await runNext(server, 1);
  expect((await events.next()).value).toMatchObject({ cursor: 2 });
  await events.return?.();
});

test('a watcher that takes nothing holds up the source, not the memory', async () => {
  let told = 0;
  const flood = {
    async *watch(): AsyncGenerator<StoredEvent> {
      const what = { stepId: '1', stream: 1, data: 'x'.repeat(10_000) };
      for (;;) {
        told++;
        yield { cursor: told, timeMs: 0, phase: 'building', attempt: 1, bytes: 0, kind: 'log', what };
        await new Promise(setImmediate);
      }
    },
  };
  await using server = await startService();
  await using flooded = await startService({ builds: { ...queueBuilds(server.queue), ...flood } });
  const client = rawClient(flooded.address);
  const call = client.watch({ buildId: 'b', cursor: 0n, skipLogs: false });
  call.on('error', () => undefined);
  // grpc-js takes all there is until somebody reads for the first time.
  await (call as AsyncIterable<unknown>)[Symbol.asyncIterator]().next();
  let before = -1;
  while (before !== told) {
    before = told;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  expect(told * 10_000).toBeLessThan(4 * 1024 * 1024);
  call.cancel();
  client.close();
});

test('what a workspace asks of a build of another is answered as if it were none', async () => {
  await using server = await startService({ tokens: [grant('of-a', 'a'), grant('of-b', 'b')] });
  using ofA = server.client('of-a');
  const { build } = await ofA.builds.submit(OWN_WORKSPACE, submission('web', { idempotencyKey: 'k' }), { signal });
  const there = build.buildId;
  const none = there.replaceAll(/[0-9a-z]/g, (char) => (char === '0' ? '1' : '0'));
  const ofB = rawClient(server.address);
  for (const method of ['get', 'cancel', 'watch'] as const) {
    const [one, other] = [await rawFailure(ofB, method, there), await rawFailure(ofB, method, none)];
    expect(one.code, method).toBe(status.NOT_FOUND);
    expect(wireForm(one, there), method).toBe(wireForm(other, none));
  }
  ofB.close();
  using b = server.client('of-b');
  expect(await b.builds.list(OWN_WORKSPACE, { limit: 10 }, { signal })).toEqual({ records: [], next: undefined });
  // Neither the key nor the same spec leads to the other's build.
  const own = await b.builds.submit(OWN_WORKSPACE, submission('web', { idempotencyKey: 'k' }), { signal });
  expect([own.how, own.build.workspaceId, own.build.sharedBy]).toEqual(['queued', 'b', 1]);
  await expect(b.archives.resolve(OWN_WORKSPACE, { imageId: 'web' }, { signal })).rejects.toMatchObject({
    code: 'STORE_OBJECT_NOT_FOUND',
  });
  expect((await ofA.builds.get(OWN_WORKSPACE, there, { signal })).state).toBe('queued');
});

test('a build that a faulty domain gives away is not shown to another workspace', async () => {
  await using server = await startService();
  using client = server.client();
  const { build } = await client.builds.submit('a', submission('web'), { signal });
  const careless = { ...queueBuilds(server.queue), get: () => Promise.resolve(build) };
  await using leaking = await startService({ builds: careless });
  using other = leaking.client();
  await expect(other.builds.get('b', build.buildId, { signal })).rejects.toMatchObject({ code: 'BUILD_NOT_FOUND' });
});

test('with a tokens file every call but health needs one, and operators have more', async () => {
  await using server = await startService({ tokens: [grant('of-a', 'a'), grant('of-op', 'ops', { operator: true })] });
  using nobody = server.client();
  await expect(nobody.builds.list(OWN_WORKSPACE, { limit: 1 }, { signal })).rejects.toMatchObject({
    code: 'WORKER_UNAUTHENTICATED',
  });
  using guess = server.client('guess');
  await expect(collect(guess.builds.watch(OWN_WORKSPACE, 'x', { after: 0, signal }))).rejects.toMatchObject({
    code: 'WORKER_UNAUTHENTICATED',
  });
  await expect(guess.builds.upload(OWN_WORKSPACE, zeros(8), { signal })).rejects.toMatchObject({
    code: 'WORKER_UNAUTHENTICATED',
  });
  using user = server.client('of-a');
  await expect(user.control.capacity({ signal })).rejects.toMatchObject({ code: 'WORKER_DENIED' });
  await expect(user.control.drain(undefined, { signal })).rejects.toMatchObject({ code: 'WORKER_DENIED' });
  await expect(user.builds.list('b', { limit: 1 }, { signal })).rejects.toMatchObject({ code: 'WORKER_DENIED' });
  using operator = server.client('of-op');
  expect((await operator.control.capacity({ signal })).workers).toMatchObject([{ workerId: 'w1', warmLayers: 1 }]);
  expect(await health(server.address)).toBe('SERVING');
});

test('a watch ends when its token is taken back, and goes on for those who still have one', async () => {
  const both = [grant('of-a', 'a'), grant('also-of-a', 'a')];
  await using server = await startService({ tokens: both, recheckMs: 50 });
  using first = server.client('of-a');
  const { build } = await first.builds.submit(OWN_WORKSPACE, submission('web'), { signal });
  const watch = (token: string) => {
    const client = server.client(token);
    const seen: StoredEvent[] = [];
    const ended = (async () => {
      for await (const event of client.builds.watch(OWN_WORKSPACE, build.buildId, { after: 0, signal }))
        seen.push(event);
    })().finally(() => {
      client[Symbol.dispose]();
    });
    ended.catch(() => undefined); // looked at below
    return { seen, ended };
  };
  const [revoked, other] = [watch('of-a'), watch('also-of-a')];
  while (revoked.seen.length === 0 || other.seen.length === 0) await sleep(10);
  await writeFile(join(server.directory, 'tokens.json'), JSON.stringify(both.slice(1)));
  await expect(revoked.ended).rejects.toMatchObject({ code: 'WORKER_UNAUTHENTICATED' });
  await server.queue.cancel('a', build.buildId, 'enough', { signal });
  await other.ended;
  expect(other.seen.at(-1)).toMatchObject({ phase: 'canceled' });
});

test('a drained server says NOT_SERVING, refuses new work and still answers', async () => {
  await using server = await startService();
  using client = server.client();
  const { build } = await client.builds.submit('a', submission('web'), { signal });
  const seen = watchHealth(server.address);
  expect(await seen.next()).toBe('SERVING');
  expect(await client.control.drain(1000, { signal })).toEqual({ finished: 2, handedBack: 1 });
  expect(await seen.next()).toBe('NOT_SERVING');
  expect(await health(server.address)).toBe('NOT_SERVING');
  await expect(client.builds.submit('a', submission('more'), { signal })).rejects.toMatchObject({
    code: 'WORKER_DRAINING',
  });
  await expect(client.builds.upload('a', zeros(1), { signal })).rejects.toMatchObject({ code: 'WORKER_DRAINING' });
  expect((await client.builds.get('a', build.buildId, { signal })).state).toBe('queued');
  seen.close();
});

test('an upload arrives whole, and a source that fails ends it', async () => {
  await using server = await startService();
  using client = server.client();
  const sizeBytes = 5 * 1024 * 1024 + 3;
  expect(await client.builds.upload('a', zeros(sizeBytes), { signal })).toEqual({
    digest: `sha256:${createHash('sha256').update(Buffer.alloc(sizeBytes)).digest('hex')}`,
    sizeBytes,
  });
  const failing = async function* () {
    yield* zeros(100_000);
    throw new RangeError('unreadable');
  };
  await expect(client.builds.upload('a', failing(), { signal })).rejects.toThrow('unreadable');
});

test('an upload is taken no faster than the worker reads, and ends when it is refused', async () => {
  await using server = await startService();
  let sent = 0;
  const source = async function* () {
    for await (const chunk of zeros(1024 * 1024 * 1024)) {
      sent += chunk.length;
      yield chunk;
    }
  };
  const stuck = Promise.withResolvers<undefined>();
  const slow = {
    ...queueBuilds(server.queue),
    upload: async (_: string, bytes: AsyncIterable<Uint8Array>) => {
      for await (const _chunk of bytes) await stuck.promise;
      return { digest: '', sizeBytes: 0 };
    },
  };
  await using reluctant = await startService({ builds: slow });
  using client = reluctant.client();
  const stopped = new AbortController();
  const upload = client.builds.upload('a', source(), { signal: stopped.signal });
  upload.catch(() => undefined);
  let before = -1;
  while (before !== sent || sent === 0) {
    before = sent;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  expect(sent).toBeLessThan(64 * 1024 * 1024);
  stopped.abort(new DOMException('enough', 'AbortError'));
  await expect(upload).rejects.toThrow('enough');
  stuck.resolve(undefined);
});

test('the deadline and the going of a caller end what was done for it', async () => {
  await using server = await startService();
  const reasons: unknown[] = [];
  const forever = {
    ...queueBuilds(server.queue),
    get: (_workspace: string, _id: string, options: { readonly signal: AbortSignal }) =>
      new Promise<never>((_resolve, reject) => {
        options.signal.addEventListener('abort', () => {
          reasons.push((options.signal.reason as Error).name);
          reject(options.signal.reason as Error);
        });
      }),
  };
  await using hanging = await startService({ builds: forever });
  const client = rawClient(hanging.address);
  const failed = await new Promise<ServiceError | null>((resolve) => {
    client.get({ buildId: 'x' }, new Metadata(), { deadline: Date.now() + 200 }, resolve);
  });
  expect(failed?.code).toBe(status.DEADLINE_EXCEEDED);
  const canceled = new Promise<ServiceError | null>((resolve) => {
    const call = client.get({ buildId: 'x' }, resolve);
    setTimeout(() => {
      call.cancel();
    }, 100);
  });
  expect((await canceled)?.code).toBe(status.CANCELLED);
  await expect.poll(() => reasons).toHaveLength(2);
  expect(reasons[1]).toBe('AbortError');
  client.close();
});

test('wrong calls are refused with a code, and a defect says nothing of the inside', async () => {
  await using server = await startService();
  using client = server.client();
  await expect(client.builds.get('a', '', { signal })).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
  await expect(client.builds.get('../x', 'b', { signal })).rejects.toMatchObject({ code: 'WORKSPACE_ID_INVALID' });
  await expect(client.builds.list('a', { limit: 1001 }, { signal })).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
  await expect(client.archives.indexImage('a', { reference: '' }, { signal })).rejects.toMatchObject({
    code: 'REQUEST_INVALID',
  });
  const defect = await client.archives
    .indexImage('a', { reference: 'r/i:1' }, { signal })
    .catch((thrown: unknown) => thrown);
  expect(defect).toMatchObject({ code: 'INTERNAL', message: expect.not.stringContaining('swordfish') as string });
  expect(await client.archives.resolve('a', { imageId: 'web' }, { signal })).toMatchObject({ generation: 7 });
});

test('nobody at the address is WORKER_UNAVAILABLE', async () => {
  await using server = await startService();
  await server.stop();
  using client = server.client();
  await expect(client.builds.get('a', 'b', { signal })).rejects.toMatchObject({
    code: 'WORKER_UNAVAILABLE',
    message: expect.stringMatching(/ECONNREFUSED[^.]*[\d.:]+$/) as string,
  });
});

test('without credentials only this machine may be served', async () => {
  await expect(startService({ listen: '0.0.0.0:0' })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  await using open = await startService({ listen: '0.0.0.0:0', tokens: [] });
  expect(open.address).toMatch(/^0\.0\.0\.0:\d+$/);
});

async function* zeros(bytes: number): AsyncGenerator<Uint8Array> {
  const chunk = Buffer.alloc(100_000);
  for (let left = bytes; left > 0; left -= chunk.length) yield chunk.subarray(0, Math.min(left, chunk.length));
  await Promise.resolve();
}

function rawClient(address: string): BuildServiceClient {
  return new BuildServiceClient(address, credentials.createInsecure());
}

/** How a call of workspace b ends, as it came over the wire. */
async function rawFailure(
  client: BuildServiceClient,
  method: 'get' | 'cancel' | 'watch',
  buildId: string,
): Promise<ServiceError> {
  const metadata = new Metadata();
  metadata.set('authorization', 'Bearer of-b');
  const { promise, resolve } = Promise.withResolvers<ServiceError>();
  const done = (error: ServiceError | null) => {
    if (error !== null) resolve(error);
  };
  if (method === 'get') client.get({ buildId }, metadata, done);
  if (method === 'cancel') client.cancel({ buildId, reason: '' }, metadata, done);
  if (method === 'watch') client.watch({ buildId, cursor: 0n, skipLogs: false }, metadata).on('error', done);
  return await promise;
}

/** Everything of an answer but the date, with the id that was asked for left out. */
function wireForm({ code, details, metadata }: ServiceError, buildId: string): string {
  metadata.remove('date');
  const values = Object.entries(metadata.toHttp2Headers()).map(([name, value]) => [
    name,
    metadata.get(name).map((each) => each.toString('latin1')),
    typeof value,
  ]);
  return JSON.stringify([code, details, values]).replaceAll(buildId, 'ID');
}

async function health(address: string): Promise<string> {
  const client = new HealthClient(address, credentials.createInsecure());
  const { promise, resolve, reject } = Promise.withResolvers<HealthCheckResponse>();
  client.check({ service: 'clipyard.v1.BuildService' }, (error, response) => {
    if (error === null) resolve(response);
    else reject(error);
  });
  const { status: serving } = await promise;
  client.close();
  return serving === 1 ? 'SERVING' : 'NOT_SERVING';
}

function watchHealth(address: string) {
  const client: Client & HealthClient = new HealthClient(address, credentials.createInsecure());
  const call = client.watch({ service: '' });
  call.on('error', () => undefined);
  const responses = (call as AsyncIterable<HealthCheckResponse>)[Symbol.asyncIterator]();
  return {
    next: async () =>
      ((await responses.next()).value as HealthCheckResponse).status === 1 ? 'SERVING' : 'NOT_SERVING',
    close: () => {
      call.cancel();
      client.close();
    },
  };
}
