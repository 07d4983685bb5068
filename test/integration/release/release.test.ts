import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createRegistryClient } from '../../../src/registry/index.ts';
import type { ReleaseDocument } from '../../../src/release/index.ts';
import { type CommandResult, commandError, commandJson, runCommand } from '../../support/command-line.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { serviceSetting } from '../../support/services.ts';
import { temporaryStateDirectory } from '../../support/temporary-directory.ts';
import { type PushedIndex, pushTestIndex } from '../../support/test-index.ts';

const COMMIT = '860c1904a1ce19322e91ac35af1ab07466440c37';
const signal = AbortSignal.timeout(300_000);
const stack = new AsyncDisposableStack();
const owner = `release${process.pid}`;
const client = stack.use(createRegistryClient());
let proxy: FaultProxy;
let directory = '';
let env: Record<string, string>;

beforeAll(async () => {
  directory = stack.use(await temporaryStateDirectory('release')).path;
  proxy = stack.use(await FaultProxy.start(serviceSetting('CLIPYARD_REGISTRY')));
  env = {
    CLIPYARD_STATE: join(directory, 's'),
    CLIPYARD_STORE: `file://${directory}/store`,
    CLIPYARD_RELEASE_OWNER: owner,
    CLIPYARD_RELEASE_DOMAIN: 'demo',
    CLIPYARD_WORKSPACE: owner,
  };
  await mkdir(join(directory, 'context'));
  await writeFile(join(directory, 'context/Dockerfile'), 'FROM scratch\nCOPY hello /srv/hello\n');
  await writeFile(join(directory, 'context/hello'), `hello ${process.pid}\n`);
});
afterAll(() => stack.disposeAsync());

const repositoryOf = (app: string) => ({ registry: proxy.address, repository: `${owner}/demo-${app}` });
const place = () => ['--registry', proxy.address, '--context', join(directory, 'context')];
const digestOf = async (app: string, tag: string) =>
  (await client.headManifest(repositoryOf(app), tag, { signal }))?.digest;

async function release(app: string, version: string, ...flags: readonly string[]): Promise<CommandResult> {
  const result = await runCommand(['release', app, version, ...place(), ...flags], env);
  if (result.exitCode !== 0) throw new Error(result.stderr);
  return result;
}

describe('an image that is there', () => {
  let image: PushedIndex;
  beforeAll(async () => {
    image = await pushTestIndex(client, repositoryOf('web'), COMMIT, { directory });
    proxy.takeRequests();
  });

  test('R000-7, R000-8, R000-9, D13, D14, D20: a re-tag moves no blob and keeps every byte of the index', async () => {
    const { stderr, stdout } = await release('web', 'v1.0.0', '--commit', COMMIT);
    const requests = proxy.takeRequests();
    expect(requests.filter(({ path }) => !/\/(manifests|tags)\//.test(path)).map(({ path }) => path)).toEqual([]);
    expect(requests.filter(({ method }) => method === 'PUT').map(({ path }) => path.split('/').at(-1))).toEqual([
      'v1.0.0',
      'latest',
    ]);
    for (const tag of [COMMIT, 'v1.0.0', 'latest']) {
      const { bytes, digest, mediaType } = await client.getManifest(repositoryOf('web'), tag, { signal });
      expect([digest, mediaType, Buffer.compare(bytes, image.bytes)]).toEqual([image.digest, image.mediaType, 0]);
    }
    for (const child of image.children)
      expect((await client.headManifest(repositoryOf('web'), child, { signal }))?.digest).toBe(child);
    expect(stderr).toContain(
      `✅ Found existing image for commit 860c190: ${proxy.address}/${owner}/demo-web:${COMMIT}\n` +
        'Optimizing: Re-tagging existing image instead of rebuilding\n' +
        '✅ Tagged with v1.0.0\n✅ Tagged with latest\n' +
        'Successfully tagged web v1.0.0 from existing commit image\n',
    );
    expect(stdout).toContain(image.digest);
  });

  test('R000-11: a 5xx in the middle is tried again and ends in success', async () => {
    proxy.inject({ method: 'PUT' }, { kind: 'answer', status: 503 });
    proxy.inject({ method: 'GET', path: /manifests/ }, { kind: 'answer', status: 500 });
    const { stderr } = await release('web', 'v1.0.1', '--commit', COMMIT);
    expect(stderr).toContain('Successfully tagged web v1.0.1');
    expect(await digestOf('web', 'v1.0.1')).toBe(image.digest);
  });

  test('D39: a dry run only reads; a plan is applied as it stands, refused when latest moved, and undone', async () => {
    const file = join(directory, 'plan.json');
    proxy.takeRequests();
    const flags = ['--registry', proxy.address, '--commit', COMMIT];
    const dry = await commandJson<ReleaseDocument>(['release', 'web', 'v1.1.0', '--dry-run', ...flags], env);
    const plan = await commandJson<ReleaseDocument>(
      ['release', 'plan', 'web', 'v1.1.0', ...flags, '--output', file],
      env,
    );
    expect({ ...plan, at: '' }).toEqual({ ...dry, at: '' });
    expect(JSON.parse(await readFile(file, 'utf8'))).toEqual(plan);
    expect(new Set(proxy.takeRequests().map(({ method }) => method))).toEqual(new Set(['GET', 'HEAD']));
    const other = await pushTestIndex(client, repositoryOf('web'), 'latest', { directory });
    expect(await commandError(['release', 'apply', file], env)).toMatchObject({
      exitCode: 73,
      code: 'RELEASE_PLAN_STALE',
    });
    expect(await digestOf('web', 'v1.1.0')).toBeUndefined();
    const again = await commandJson<ReleaseDocument>(['release', 'web', 'v1.1.0', ...flags, '--latest', 'always'], env);
    await writeFile(file, JSON.stringify(again));
    expect(await digestOf('web', 'latest')).toBe(image.digest);
    await commandJson(['release', 'undo', file], env);
    expect([await digestOf('web', 'latest'), await digestOf('web', 'v1.1.0')]).toEqual([other.digest, image.digest]);
  });
});

describe('an image that is built', () => {
  const built = { digest: '' };

  test('R000-3, R000-5, R000-9: the first release pushes commit, version and latest, and no other tag', async () => {
    const { stderr } = await release('app', 'v1.0.0', '--commit', COMMIT, '--attest', 'provenance');
    const lines = stderr.split('\n').filter((line) => /^(✅|No|Building|Pushing|Successfully)/.test(line));
    expect(lines).toEqual([
      'No existing image found for commit 860c190, will build',
      'Building OCI image index with platform transitions...',
      '✅ Built OCI image index containing 2 platform variants',
      'Pushing OCI image index with 3 tags...',
      'Successfully pushed app v1.0.0',
    ]);
    const tags = await client.listTags(repositoryOf('app'), { signal });
    expect([...tags].sort()).toEqual([COMMIT, 'latest', 'v1.0.0']);
    const { bytes, digest } = await client.getManifest(repositoryOf('app'), 'v1.0.0', { signal });
    expect(new Set(await Promise.all(tags.map((tag) => digestOf('app', tag))))).toEqual(new Set([digest]));
    const { manifests } = JSON.parse(Buffer.from(bytes).toString()) as {
      manifests: { platform: { architecture: string } }[];
    };
    expect(manifests.map(({ platform }) => platform.architecture)).toEqual(['amd64', 'arm64', 'unknown', 'unknown']);
    built.digest = digest;
  });

  test('R000-6: the next release of the commit re-tags it, and its archive mounts by version and latest as it is', async () => {
    await release('app', 'v1.1.0', '--commit', COMMIT);
    expect(await digestOf('app', 'latest')).toBe(built.digest);
    const mountpoint = join(directory, 'm');
    await mkdir(mountpoint);
    proxy.takeRequests();
    for (const tag of ['v1.1.0', 'latest']) {
      const reference = `docker://${proxy.address}/${owner}/demo-app:${tag}`;
      await commandJson(['mount', reference, mountpoint], env);
      try {
        expect(await readFile(join(mountpoint, 'srv/hello'), 'utf8')).toBe(`hello ${process.pid}\n`);
      } finally {
        await commandJson(['umount', mountpoint], env);
      }
    }
    const blobs = proxy.takeRequests().filter(({ path }) => path.includes('/blobs/'));
    // No layer is read to be indexed: what is asked for are ranges of what the reader wanted.
    expect(blobs.filter(({ method, range }) => method === 'GET' && range === undefined)).toEqual([]);
  });

  test('R000-22, R000-24: when tagging fails the image is built, and every tag is one image', async () => {
    proxy.inject({ method: 'PUT', path: /manifests\/v1\.2\.0$/ }, { kind: 'answer', status: 403 });
    const { stderr } = await release('app', 'v1.2.0', '--commit', COMMIT);
    expect(stderr).toMatch(/^Failed to tag existing image, falling back to rebuild: .*403/m);
    expect(stderr).toContain('Rebuilding image...\n');
    expect(stderr).toContain('Successfully pushed app v1.2.0 (after fallback)\n');
    for (const tag of [COMMIT, 'v1.0.0', 'v1.2.0', 'latest']) expect(await digestOf('app', tag)).toBe(built.digest);
  });
});

test.for<[title: string, args: readonly string[], code: string]>([
  ['no domain', ['--domain', ''], 'RELEASE_NAME_INVALID'],
  ['no tag', ['--commit', 'a b'], 'RELEASE_TAG_INVALID'],
])('a release with %s is refused before anything is asked', async ([, args, code]) => {
  const refused = await commandError(['release', 'web', 'v1', ...place(), ...args], env);
  expect(refused).toMatchObject({ exitCode: 64, code });
});

test('R000-28: an empty commit, as workflows write it, is none', async () => {
  const args = ['release', 'none', 'v1.0.0', ...place(), '--commit', '', '--dry-run'];
  const { tags } = await commandJson<ReleaseDocument>(args, env);
  expect(tags.map(({ tag }) => tag)).toEqual(['v1.0.0', 'latest']);
});
