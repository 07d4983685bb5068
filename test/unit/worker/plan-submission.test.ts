import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseWorkspaceId } from '../../../src/archive/index.ts';
import type { Digest } from '../../../src/digest/index.ts';
import { openStore } from '../../../src/objects/index.ts';
import { createRegistryClient } from '../../../src/registry/index.ts';
import { silentLog } from '../../../src/telemetry/index.ts';
import type { SecretValue } from '../../../src/worker/api.ts';
import { DEFAULT_INTAKE_LIMITS, parseBuildSpec, parsePolicy, Sealer } from '../../../src/worker/index.ts';
import { storeContext } from '../../../src/worker/intake/context-store.ts';
import { type PlanContext, planSubmission } from '../../../src/worker/submit/plan-submission.ts';
import { makeTar } from '../../support/make-tar.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const { signal } = new AbortController();
const stack = new AsyncDisposableStack();
let context: PlanContext;
/** Contexts with the same Dockerfile and another file beside it. */
let uploads: readonly Digest[] = [];

beforeAll(async () => {
  const scratch = stack.use(await temporaryDirectory('plan'));
  const store = stack.use(openStore(`file://${join(scratch.path, 'store')}`, {}));
  const scratchDir = join(scratch.path, 'scratch');
  const limits = DEFAULT_INTAKE_LIMITS;
  const { keepUploadsMs, maxUploadBytes: maxBytes } = limits;
  const requireRoom = () => Promise.resolve();
  const upload = async (workspaceId: string, content: string) => {
    const names = ['Dockerfile', 'other.Dockerfile', 'sub/Dockerfile'];
    const tar = makeTar([{ name: 'f', data: content }, ...names.map((name) => ({ name, data: 'FROM scratch\n' }))]);
    const bytes = async function* () {
      yield await Promise.resolve(tar);
    };
    const rest = { keepUploadsMs, maxBytes, now: Date.now, requireRoom, scratchDir, store, signal };
    return (await storeContext(workspaceId, bytes(), rest)).digest;
  };
  uploads = [await upload('team', 'one'), await upload('team', 'two')];
  await upload('other', 'one');
  context = {
    ...{ limits, scratchDir, store, signal, now: Date.now, env: process.env, log: silentLog() },
    workspaceId: parseWorkspaceId('team'),
    target: { registry: '127.0.0.1:1', repository: 'images' },
    client: stack.use(createRegistryClient()),
    sealer: new Sealer(Buffer.alloc(32, 7)),
    policy: policyWith({}),
    timeoutMs: Number.POSITIVE_INFINITY,
  };
});
afterAll(() => stack.disposeAsync());

const policyWith = (more: object) =>
  parsePolicy({
    networks: ['default', 'none', 'host'],
    repositories: { '*': ['127.0.0.1:1/mine/*', '127.0.0.1:1/caches/*'] },
    ssh: { default: { socket: '/run/a' }, other: { socket: '/run/b' } },
    ...more,
  });

const secret = (id: string, version: string, value: string): SecretValue => ({
  id,
  version,
  value: Buffer.from(value),
});

async function keyOf(spec: object, secrets: readonly SecretValue[] = [], more: Partial<PlanContext> = {}) {
  const given = parseBuildSpec({ imageId: 'app', context: { type: 'uploaded', digest: uploads[0] }, ...spec });
  const rest = { idempotencyKey: undefined, priority: undefined, maxAgeMs: undefined, timeoutMs: undefined };
  const { key } = await planSubmission({ spec: given, secrets, ...rest }, { ...context, ...more });
  return key;
}

describe('what a build is asked for goes into the key by which it is shared', () => {
  test.for<[what: string, spec: () => object]>([
    ['image id', () => ({ imageId: 'another' })],
    ['context', () => ({ context: { type: 'uploaded', digest: uploads[1] } })],
    ['Dockerfile', () => ({ context: { type: 'inline', dockerfile: 'FROM scratch\n' } })],
    ['path of the Dockerfile', () => ({ dockerfile: 'other.Dockerfile' })],
    ['target', () => ({ target: 'stage' })],
    ['platforms', () => ({ platforms: ['linux/arm64'] })],
    ['build arguments', () => ({ buildArgs: { A: '1' } })],
    ['labels', () => ({ labels: { A: '1' } })],
    ['named contexts', () => ({ namedContexts: { other: `uploaded:${uploads[1] ?? ''}` } })],
    ['ssh agents', () => ({ ssh: ['default'] })],
    ['network', () => ({ network: 'none' })],
    ['no cache', () => ({ noCache: true })],
    ['caches that are read', () => ({ cacheFrom: ['127.0.0.1:1/caches/a:1'] })],
    ['caches that are written', () => ({ cacheTo: ['127.0.0.1:1/caches/a:1'] })],
    ['attestations', () => ({ attest: ['provenance'] })],
    ['codec', () => ({ compression: 'gzip' })],
    ['level', () => ({ level: 7 })],
    ['size of a chunk', () => ({ chunkBytes: 65_536 })],
    ['format of the archive', () => ({ archiveFormat: 'v1' })],
    ['second name', () => ({ alsoAs: 'team/second' })],
    ['repository', () => ({ repository: '127.0.0.1:1/mine/app' })],
  ])('%s', async ([, spec]) => {
    const plain = await keyOf({});
    expect(plain).toMatch(/^[0-9a-f]{64}$/);
    expect(await keyOf({})).toBe(plain);
    const changed = await keyOf(spec());
    expect(changed).not.toBe(plain);
    expect(await keyOf(spec())).toBe(changed);
  });

  test('version and id of a secret, or its value where it has no version', async () => {
    const keys = await Promise.all([
      keyOf({}),
      keyOf({}, [secret('a', 'v1', 'x')]),
      keyOf({}, [secret('a', 'v2', 'x')]),
      keyOf({}, [secret('b', 'v1', 'x')]),
      keyOf({}, [secret('a', '', 'x')]),
      keyOf({}, [secret('a', '', 'y')]),
    ]);
    expect(new Set(keys).size).toBe(keys.length);
    expect(await keyOf({}, [secret('a', 'v1', 'another')])).toBe(keys[1]);
  });

  test('workspace, source policy and the network that the policy gives', async () => {
    const keys = await Promise.all([
      keyOf({}),
      keyOf({}, [], { workspaceId: parseWorkspaceId('other') }),
      keyOf({}, [], { policy: policyWith({ sources: { deny: ['https://*'] } }) }),
      keyOf({}, [], { policy: policyWith({ network: 'none' }) }),
      keyOf({}, [], { target: { registry: '127.0.0.1:1', repository: 'elsewhere' } }),
    ]);
    expect(new Set(keys).size).toBe(keys.length);
  });

  test('what is said to read things without a digest is a build of its own', async () => {
    expect(await keyOf({ hermetic: false })).not.toBe(await keyOf({ hermetic: false }));
  });
});
