import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOf } from '../../../src/digest/index.ts';
import { openStore } from '../../../src/objects/index.ts';
import { canonicalJson, MEDIA_TYPES } from '../../../src/oci/index.ts';
import { type BuildQueue, type Job, type Lease, openSqliteQueue, type WorkerStatus } from '../../../src/queue/index.ts';
import { createRegistryClient, type RegistryClient, type Repository } from '../../../src/registry/index.ts';
import { silentLog } from '../../../src/telemetry/index.ts';
import {
  type BuildSpec,
  type Builds,
  createBuilds,
  DEFAULT_INTAKE_LIMITS,
  type PreparedBuild,
  parseBuildSpec,
  parsePolicy,
  prepareBuild,
  Sealer,
  type WorkerPolicy,
} from '../../../src/worker/index.ts';
import { makeTar } from '../../support/make-tar.ts';
import { serviceSetting } from '../../support/services.ts';

export const signal = AbortSignal.timeout(110_000);
const sealer = new Sealer(Buffer.alloc(32, 7));

/** An image of one file, put under a tag; says the digest of its layer. */
export async function pushFileImage(
  client: RegistryClient,
  repository: Repository,
  tag: string,
  content: string,
): Promise<{ readonly layer: string; readonly manifest: string }> {
  const layer = makeTar([{ name: 'which', data: content }]);
  const config = canonicalJson({
    os: 'linux',
    architecture: 'amd64',
    config: {},
    rootfs: { type: 'layers', diff_ids: [digestOf(layer)] },
  });
  for (const bytes of [layer, config])
    await client.pushBlob(repository, { digest: digestOf(bytes), sizeBytes: bytes.length, bytes }, { signal });
  const manifest = canonicalJson({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf(config), size: config.length },
    layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: digestOf(layer), size: layer.length }],
  });
  await client.putManifest(repository, tag, manifest, MEDIA_TYPES.ociManifest, { signal });
  return { layer: digestOf(layer), manifest: digestOf(manifest) };
}

/** An intake over a queue, a store and a registry of its own names. */
export interface Intake extends AsyncDisposable {
  readonly builds: Builds;
  readonly queue: BuildQueue;
  readonly client: RegistryClient;
  readonly target: Repository;
  readonly workspaceId: string;
  /** The oldest job that waits. */
  take(): Promise<Lease>;
  prepare(job: Pick<Job, 'workspaceId' | 'imageId' | 'spec'>, policy?: unknown): Promise<PreparedBuild>;
}

export async function openIntake(directory: string, policyValue: unknown = {}): Promise<Intake> {
  await mkdir(directory, { recursive: true });
  const policy: WorkerPolicy = parsePolicy(policyValue);
  const client = createRegistryClient();
  const store = openStore(`file://${join(directory, 'store')}`, {});
  const queue = openSqliteQueue(join(directory, 'queue.db'), {
    leaseMs: 30_000,
    maxAttempts: 3,
    weights: new Map(),
    maxRunningPerWorkspace: 10,
    warmWaitMs: 0,
    now: () => Date.now(),
  });
  const target = { registry: serviceSetting('CLIPYARD_REGISTRY'), repository: `intake/${randomUUID()}` };
  const common = { store, sealer, limits: DEFAULT_INTAKE_LIMITS, target, env: process.env };
  const builds = createBuilds({
    ...common,
    policy,
    queue,
    client,
    requireRoom: () => Promise.resolve(),
    scratchDir: join(directory, 'scratch'),
    timeoutMs: 3_600_000,
    log: silentLog(),
    now: () => Date.now(),
  });
  const worker: WorkerStatus = {
    workerId: 'test',
    version: '1',
    slots: 1,
    freeSlots: 1,
    draining: false,
    reason: undefined,
    platforms: ['linux/amd64'],
    diskFreeBytes: 1,
    diskBytes: 1,
    baseLayers: [],
    seenAtMs: Date.now(),
  };
  return {
    builds,
    queue,
    client,
    target,
    workspaceId: `w${randomUUID().slice(0, 8)}`,
    async take() {
      const lease = await queue.take({ ...worker, seenAtMs: Date.now() }, { signal });
      if (lease === undefined) throw new Error('nothing to take');
      return lease;
    },
    prepare: (job, other) =>
      prepareBuild(job, {
        ...common,
        policy: other === undefined ? policy : parsePolicy(other),
        scratchDir: join(directory, 'jobs', randomUUID()),
        signal,
      }),
    async [Symbol.asyncDispose]() {
      await queue[Symbol.asyncDispose]();
      await client[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}

/** A submission with defaults. */
export function request(spec: Readonly<Record<string, unknown>>, more: object = {}) {
  const parsed: BuildSpec = parseBuildSpec({ imageId: 'app', ...spec });
  return {
    spec: parsed,
    secrets: [],
    idempotencyKey: undefined,
    priority: undefined,
    maxAgeMs: undefined,
    timeoutMs: undefined,
    ...more,
  };
}

export async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}
