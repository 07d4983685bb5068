import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Digest, digestOf } from '../../../src/digest/index.ts';
import type { Cancelable } from '../../../src/errors/index.ts';
import { imagesOf, parseIndex } from '../../../src/oci/index.ts';
import { createRegistryClient, type RegistryClient } from '../../../src/registry/index.ts';
import {
  calculateMatrix,
  expectationsOf,
  type MatrixConfig,
  parseMatrixConfig,
  parseTagContext,
  previewMatrix,
  requireVerified,
  retagImage,
  runMatrix,
  type VariantBuild,
  verifyTags,
} from '../../../src/release/index.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { type RunningRegistry, startOlareg } from '../../support/registry.ts';

const never = new AbortController().signal;
const VARIANTS = ['3.9', '3.13'];

let registry: RunningRegistry;
let proxy: FaultProxy;
let client: RegistryClient;
let config: MatrixConfig;

beforeAll(async () => {
  registry = await startOlareg();
});
afterAll(() => registry[Symbol.asyncDispose]());
beforeEach(async () => {
  proxy = await FaultProxy.start(registry.address);
  client = createRegistryClient({ limits: { attempts: 2, pauseMs: 5, maxPauseMs: 10 } });
  config = newConfig();
});
afterEach(async () => {
  await client[Symbol.asyncDispose]();
  await proxy[Symbol.asyncDispose]();
});

const newConfig = () =>
  parseMatrixConfig(
    JSON.stringify({ registry: proxy.address, image: `matrix/${randomUUID()}`, variants: VARIANTS, default: '3.13' }),
  );
const contextOf = (ref: string, sha: string) =>
  parseTagContext(JSON.stringify({ event: 'push', ref, sha, default_branch: 'main' }), new Date());

/** Pushes an image of one small configuration for each platform, as a build would: by digest, and other bytes each time. */
async function pushVariant(
  { buildArgs, labels, platforms }: VariantBuild,
  { signal }: Cancelable,
  salt: string = randomUUID(),
): Promise<Digest> {
  const push = async (value: object) => {
    const bytes = Buffer.from(JSON.stringify(value));
    const digest = digestOf(bytes);
    await client.pushBlob(config.target, { digest, sizeBytes: bytes.length, bytes }, { signal });
    return { digest, size: bytes.length };
  };
  const manifests = [];
  for (const platform of platforms) {
    const [os = '', architecture = ''] = platform.split('/');
    const Env = Object.entries(buildArgs).map(([name, value]) => `${name}=${value}`);
    const image = { os, architecture, config: { Labels: labels, Env }, rootfs: { type: 'layers', diff_ids: [] }, salt };
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const described = { mediaType: 'application/vnd.oci.image.config.v1+json', ...(await push(image)) };
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config: described, layers: [] }));
    const descriptor = await client.putManifest(config.target, digestOf(bytes), bytes, mediaType, { signal });
    manifests.push({ ...descriptor, platform: { os, architecture } });
  }
  const mediaType = 'application/vnd.oci.image.index.v1+json';
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests }));
  return (await client.putManifest(config.target, digestOf(index), index, mediaType, { signal })).digest;
}

interface RunOptions {
  readonly sha?: string;
  readonly signal?: AbortSignal;
  readonly build?: (request: VariantBuild, options: Cancelable) => Promise<Digest>;
}

const run = (ref: string, { build = pushVariant, sha = 'c'.repeat(40), signal = never }: RunOptions = {}) => {
  const given = contextOf(ref, sha);
  return runMatrix(config, calculateMatrix(config, given), given, {
    client,
    signal,
    build,
    report: () => undefined,
    setTag: async ({ digest, expected, permanent, tag }) => {
      const targets = [{ tag, expected, permanent }];
      const { tags } = await retagImage({ client, repository: config.target, source: digest, targets, signal });
      return tags.some(({ written }) => written);
    },
  });
};
const release = (version: string, options?: RunOptions) => run(`refs/tags/v${version}`, options);

/** What the repository's tags name. */
async function tagsNow(): Promise<Readonly<Record<string, Digest>>> {
  const names = await client.listTags(config.target, { signal: never });
  const entries = await Promise.all(
    names.map(async (name) => {
      const found = await client.headManifest(config.target, name, { signal: never });
      return found === undefined ? [] : [[name, found.digest] as const];
    }),
  );
  return Object.fromEntries(entries.flat());
}

async function verify(ref: string): Promise<void> {
  const matrix = calculateMatrix(config, contextOf(ref, ''));
  const registryOf = { client, signal: never };
  requireVerified(await verifyTags(config, await expectationsOf(config, matrix, registryOf), registryOf));
}

const tagWrites = () =>
  proxy
    .takeRequests()
    .filter(({ method, path }) => method === 'PUT' && path.includes('/manifests/') && !path.includes('sha256:'))
    .map(({ path }) => path.split('/').at(-1));

test('R001-12, R001-13, R001-15: after all builds one writer sets precision, variant, version, and latest last', async () => {
  const built: string[] = [];
  await release('1.0.0', {
    build: async (request, options) => {
      expect(tagWrites()).toEqual([]);
      built.push(request.variant);
      return await pushVariant(request, options);
    },
  });
  expect(built).toEqual(VARIANTS);
  expect(tagWrites()).toEqual(['1.0.0-python3.9', '1.0.0-python3.13', 'python3.9', 'python3.13', '1.0.0', 'latest']);
});

test('R001-1, R001-2, R001-14, R001-19, R001-23, R001-28: every tag is the image its text says, for all platforms, and verify tells when one is not', async () => {
  await release('1.0.0');
  const tags = await tagsNow();
  expect(Object.keys(tags).toSorted()).toEqual(
    ['1.0.0', '1.0.0-python3.13', '1.0.0-python3.9', 'latest', 'python3.13', 'python3.9'].toSorted(),
  );
  for (const tag of Object.keys(tags)) {
    const { bytes } = await client.getManifest(config.target, tag, { signal: never });
    expect(
      imagesOf(parseIndex(bytes)).map(({ platform }) => platform?.architecture),
      tag,
    ).toEqual(['amd64', 'arm64']);
  }
  expect(tags['latest']).toBe(tags['1.0.0-python3.13']);
  expect(tags['1.0.0']).toBe(tags['1.0.0-python3.13']);
  expect(tags['python3.13']).toBe(tags['latest']);
  expect(tags['python3.9']).toBe(tags['1.0.0-python3.9']);
  expect(tags['python3.9']).not.toBe(tags['latest']);
  await verify('refs/tags/v1.0.0');
  const wrong = await client.getManifest(config.target, 'python3.9', { signal: never });
  await client.putManifest(config.target, 'latest', wrong.bytes, wrong.mediaType, { signal: never });
  await expect(verify('refs/tags/v1.0.0')).rejects.toMatchObject({
    code: 'MATRIX_MISMATCH',
    message: expect.stringContaining('latest: its image says it is 3.9, not 3.13') as string,
  });
});

test('R001-14, R001-28: a tag that is no index of all platforms is a mismatch', async () => {
  const build = (request: VariantBuild, options: Cancelable) =>
    pushVariant(request.variant === '3.9' ? { ...request, platforms: ['linux/amd64'] } : request, options);
  await expect(release('1.0.0', { build })).rejects.toMatchObject({
    code: 'MATRIX_MISMATCH',
    message: expect.stringContaining('python3.9: it has no image for linux/arm64') as string,
  });
});

test('D34: a variant that fails leaves every alias where it was, and the others are still tried', async () => {
  await release('1.0.0');
  const before = await tagsNow();
  const tried: string[] = [];
  const build = async (request: VariantBuild, options: Cancelable) => {
    tried.push(request.variant);
    if (request.variant === '3.9') throw new Error('no such interpreter');
    return await pushVariant(request, options);
  };
  await expect(release('1.1.0', { build })).rejects.toThrow(/python3\.9: .*\nno tag was written; failed: 3\.9/);
  expect(tried).toEqual(VARIANTS);
  expect(await tagsNow()).toEqual(before);
});

test('C6, D35, R001-26: a build of main writes its own tags and no other', async () => {
  await release('1.0.0');
  const before = await tagsNow();
  tagWrites();
  await run('refs/heads/main');
  expect(tagWrites()).toEqual(['main', 'dev']);
  expect(await tagsNow()).toMatchObject(before);
  await verify('refs/heads/main');
});

test('D17: when the version tag cannot be written, latest stays', async () => {
  await release('1.0.0');
  const before = await tagsNow();
  proxy.inject({ method: 'PUT', path: /manifests\/1\.1\.0$/ }, { kind: 'answer', status: 503 }, { times: 9 });
  await expect(release('1.1.0')).rejects.toMatchObject({ code: 'REGISTRY_UNAVAILABLE' });
  expect((await tagsNow())['latest']).toBe(before['latest']);
});

test('a patch of an older line gets its own tags and moves nothing down', async () => {
  await release('1.10.0');
  const before = await tagsNow();
  await release('1.9.9');
  const after = await tagsNow();
  expect(after).toMatchObject(before);
  expect(
    Object.keys(after)
      .filter((tag) => !(tag in before))
      .toSorted(),
  ).toEqual(['1.9.9', '1.9.9-python3.13', '1.9.9-python3.9']);
  await verify('refs/tags/v1.9.9');
});

test('a second run of a release builds nothing and writes nothing; of another commit it is refused', async () => {
  await release('1.0.0');
  tagWrites();
  const build = () => Promise.reject(new Error('built again'));
  await release('1.0.0', { build });
  expect(tagWrites()).toEqual([]);
  await expect(release('1.0.0', { build, sha: 'd'.repeat(40) })).rejects.toMatchObject({ code: 'TAG_PERMANENT' });
});

test('a dry run sends GET and HEAD alone and tells what the run then does', async () => {
  const given = contextOf('refs/tags/v1.0.0', '');
  const plan = await previewMatrix(config, calculateMatrix(config, given), given, { client, signal: never });
  expect([...new Set(proxy.takeRequests().map(({ method }) => method))].toSorted()).toEqual(['GET', 'HEAD']);
  const { tags } = await release('1.0.0');
  expect(tags.map(({ tag }) => tag)).toEqual(plan.tags.map(({ tag }) => tag));
});

describe('killed at any request and run again', () => {
  /** Ends the run before its request number `at`; says whether it came so far. */
  async function killedAt(at: number): Promise<boolean> {
    const killer = new AbortController();
    let count = 0;
    const counting = new Proxy(client, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== 'function') return value;
        return (...args: readonly unknown[]) => {
          count += 1;
          if (count === at) killer.abort(new Error('killed'));
          killer.signal.throwIfAborted();
          return Reflect.apply(value, target, args) as unknown;
        };
      },
    });
    const real = client;
    client = counting;
    try {
      await release('1.1.0', { signal: killer.signal });
      return false;
    } catch (thrown) {
      expect((thrown as Error).message).toBe('killed');
      return true;
    } finally {
      client = real;
    }
  }

  test('R001-12: all tags end at the images of one release, and no permanent tag was ever another', async () => {
    let at = 1;
    for (; ; at += 13) {
      config = newConfig();
      await release('1.0.0');
      const before = await tagsNow();
      const isKilled = await killedAt(at);
      const between = await tagsNow();
      expect(between).toMatchObject({ '1.0.0': before['1.0.0'], '1.0.0-python3.9': before['1.0.0-python3.9'] });
      await release('1.1.0');
      const after = await tagsNow();
      for (const [tag, digest] of Object.entries(between)) if (/^1\./.test(tag)) expect(after[tag]).toBe(digest);
      expect(after['latest']).toBe(after['1.1.0-python3.13']);
      expect(after['python3.9']).toBe(after['1.1.0-python3.9']);
      if (!isKilled) break;
    }
    expect(at).toBeGreaterThan(20);
  });
});
