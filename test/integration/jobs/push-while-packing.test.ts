import { execFile } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { DEFAULT_LIMITS } from '../../../src/config/index.ts';
import { digestOf } from '../../../src/digest/index.ts';
import { type Compression, encoderIds, PackCache } from '../../../src/indexer/index.ts';
import type { UntimedJobEvent } from '../../../src/jobs/events.ts';
import { LevelSteering } from '../../../src/jobs/level-steering.ts';
import { type PackedLayer, packStep } from '../../../src/jobs/pack-step.ts';
import { PhaseClock } from '../../../src/jobs/phases.ts';
import { FOLLOW_BYTES, Pusher } from '../../../src/jobs/push-step.ts';
import { nativeToolPaths } from '../../../src/native/index.ts';
import { createRegistryClient, type RegistryClient } from '../../../src/registry/index.ts';
import { silentLog } from '../../../src/telemetry/index.ts';
import { tarStream } from '../../support/corpus/tar-entry.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { type RunningRegistry, startOlareg } from '../../support/registry.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

const run = promisify(execFile);
const MIB = 1024 * 1024;
const tools = nativeToolPaths(process.env, join(import.meta.dirname, '../../..'));

let registry: RunningRegistry;
let proxy: FaultProxy;
let client: RegistryClient;
let scratch: TemporaryDirectory;

beforeEach(async () => {
  registry = await startOlareg();
  proxy = await FaultProxy.start(registry.address);
  client = createRegistryClient({ limits: { attempts: 2, pauseMs: 10 } });
  scratch = await temporaryDirectory('push-while-packing');
});
afterEach(async () => {
  await client[Symbol.asyncDispose]();
  await proxy[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
  await scratch[Symbol.asyncDispose]();
});

/** Packs one layer that comes through a named pipe, so that the test holds it back, and pushes it meanwhile. */
async function start(plain: Buffer, level: Compression['level']) {
  const fifo = join(scratch.path, 'layer');
  await run('mkfifo', [fifo]);
  const failure = new AbortController();
  const { signal } = failure;
  const events: UntimedJobEvent[] = [];
  const report = (event: UntimedJobEvent) => events.push(event);
  const pusher = new Pusher({
    client,
    target: { registry: proxy.address, repository: `test/${randomUUID()}` },
    mountFrom: [],
    inRegistry: () => Promise.resolve(false),
    width: 3,
    clock: new PhaseClock(() => 0),
    report,
    onFailure: (reason) => {
      failure.abort(reason);
    },
    signal,
  });
  const steering =
    level === 'auto'
      ? new LevelSteering({ meter: pusher.meter, log: silentLog(), now: () => performance.now() })
      : undefined;
  const digest = digestOf(plain);
  const descriptor = { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size: plain.length };
  const work = async (): Promise<PackedLayer | undefined> => {
    await using cache = new PackCache({
      root: join(scratch.path, 'cache'),
      pinDir: join(scratch.path, 'pins'),
      limits: DEFAULT_LIMITS,
      shared: undefined,
      signal,
    });
    const options = {
      encoders: await encoderIds({ tools, signal }),
      compression: { codec: 'zstd', level, chunkBytes: 256 * 1024 } as const,
      keepAll: false,
      tools,
      cache,
      jobs: 2,
      limits: DEFAULT_LIMITS,
      useCache: true,
      sourceOf: () => Promise.resolve(fifo),
      inRegistry: () => Promise.resolve(false),
      growing: { fromBytes: FOLLOW_BYTES, follow: pusher.follow.bind(pusher) },
      ...(steering !== undefined && { steering }),
      report,
      signal,
    };
    let last: PackedLayer | undefined;
    for await (const layer of packStep([{ descriptor, diffId: digest }], options)) {
      last = layer;
      pusher.push({ digest: layer.layer.digest, sizeBytes: layer.layer.sizeBytes, path: layer.blobPath });
    }
    return last;
  };
  const packed = work();
  packed.catch(() => undefined);
  return { pusher, packed, steering, events, fifo };
}

const layer = (sizeBytes: number) =>
  tarStream([{ name: 'noise', type: '0', mode: 0o644, data: randomBytes(sizeBytes) }]);
const patched = () => proxy.requests.filter(({ method }) => method === 'PATCH');

test.for([1, 'auto'] as const)('at level %s bytes of a layer leave before it is packed', async (level) => {
  const plain = layer(24 * MIB);
  const { events, fifo, packed, pusher, steering } = await start(plain, level);
  const writer = await open(fifo, 'w');
  await writer.write(plain.subarray(0, 12 * MIB));
  await vi.waitFor(
    () => {
      expect(patched().some(({ requestBytes, status }) => requestBytes >= FOLLOW_BYTES && status === 202)).toBe(true);
    },
    { timeout: 20_000 },
  );
  // The packer cannot be done: half of the layer is still here.
  expect(events.filter(({ type }) => type === 'layer')).toEqual([]);
  await writer.write(plain.subarray(12 * MIB));
  await writer.close();
  const done = await packed;
  const sizeBytes = done?.layer.sizeBytes ?? 0;
  expect([...(await pusher.drain()).values()]).toEqual(['sent']);
  expect(pusher.bytesSent).toBe(sizeBytes);
  expect(proxy.requests.reduce((sum, { requestBytes }) => sum + requestBytes, 0)).toBe(sizeBytes);
  expect(steering?.used.length ?? 1).toBeGreaterThan(0);
});

test('a push that fails for good stops the packing at once, and no upload stays', async () => {
  const plain = layer(24 * MIB);
  proxy.inject({ method: 'PATCH' }, { kind: 'answer', status: 403 }, { times: 100 });
  const { events, fifo, packed, pusher } = await start(plain, 1);
  const writer = await open(fifo, 'w');
  await writer.write(plain.subarray(0, 12 * MIB));
  // The layer never comes to its end: only the failed push can end this. It trickles, because a pipe that says nothing
  // holds its reader, which then hears no stop.
  const ended = packed.then(
    () => true,
    () => true,
  );
  for (let at = 12 * MIB; at < 23 * MIB; at += 4096) {
    if (await Promise.race([ended, sleep(20, false)])) break;
    await writer.write(plain.subarray(at, at + 4096)).catch(() => undefined);
  }
  await expect(packed).rejects.toMatchObject({ code: 'REGISTRY_DENIED' });
  await pusher.abandon();
  await writer.close();
  expect(events.filter(({ type }) => type === 'layer')).toEqual([]);
  expect(proxy.requests.at(-1)).toMatchObject({ method: 'DELETE', status: 202 });
});
