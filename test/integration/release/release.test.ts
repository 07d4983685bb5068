import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createRegistryClient } from '../../../src/registry/index.ts';
import { classifyRelease, type ReleaseDocument } from '../../../src/release/index.ts';
import type { CommandResult } from '../../support/command-line.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { runInProcess } from '../../support/in-process.ts';
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
    CLIPYARD_LOG: 'warn',
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

const run = (...args: readonly string[]) => runInProcess(args, { ...process.env, ...env });

async function ran(...args: readonly string[]): Promise<CommandResult> {
  const result = await run(...args);
  if (result.exitCode !== 0) throw new Error(`${args.join(' ')}:\n${result.stderr}`);
  return result;
}

const release = (app: string, version: string, ...flags: readonly string[]) =>
  ran('release', app, version, ...place(), ...flags);
const json = async (...args: readonly string[]) =>
  JSON.parse((await ran('--json', ...args)).stdout) as ReleaseDocument & { readonly how?: string };
const refusal = async (...args: readonly string[]) => {
  const { exitCode, stderr } = await run('--json', ...args);
  const line = stderr.split('\n').findLast((text) => text.startsWith('{"error"')) ?? '{"error":{}}';
  return { exitCode, ...(JSON.parse(line) as { error: { code?: string } }).error };
};

/** What a release said, without what the build beneath it did. */
const linesOf = ({ stderr }: CommandResult) =>
  stderr
    .split('\n')
    .filter((line) =>
      /^(✅|Building OCI|Could|Failed|No|Optimizing|Pushing|Rebuilding|Success|The image|latest)/.test(line),
    );
const isOfTag = ({ path }: { readonly path: string }) => /\/manifests\/(?!sha256:)/.test(path);
const tagsPut = (requests: readonly { readonly method: string; readonly path: string }[]) =>
  requests.filter((each) => each.method === 'PUT' && isOfTag(each)).map(({ path }) => path.split('/').at(-1));

describe('an image that is there', () => {
  let image: PushedIndex;
  beforeAll(async () => {
    image = await pushTestIndex(client, repositoryOf('web'), COMMIT, { directory });
    proxy.takeRequests();
  });

  test('R000-2, R000-10, R000-25, R000-27, C10: test_check_image_exists_in_registry: one HEAD of the commit decides, and only 404 is "none"', async () => {
    const other = 'f'.repeat(40);
    const decision = async (commit: string) => {
      const args = ['web', 'v1.0.0', '--registry', proxy.address, '--commit', commit];
      const result = await ran('release', 'plan', ...args, '--output', join(directory, 'decision.json'));
      const requests = proxy.takeRequests();
      expect(requests.filter(({ path }) => path.endsWith(commit)).map(({ method }) => method)[0]).toBe('HEAD');
      expect(requests.filter(({ method, path }) => method === 'PUT' || path.includes('/blobs/'))).toEqual([]);
      return linesOf(result);
    };
    expect(await decision(COMMIT)).toEqual(['✅ Found existing image - will re-tag']);
    expect(linesOf(await release('web', 'v1.0.0', '--commit', COMMIT, '--dry-run'))).toEqual([
      '✅ Found existing image - will re-tag',
    ]);
    proxy.takeRequests();
    expect(await decision(other)).toEqual(['No existing image found for commit fffffff, will build']);
    proxy.inject({ method: 'HEAD', path: new RegExp(COMMIT) }, { kind: 'answer', status: 403 });
    expect(await decision(COMMIT)).toEqual([
      expect.stringMatching(/^Could not look up the image of commit 860c190, will build: .*403/) as string,
    ]);
  });

  test('R000-6, R000-7, R000-8, R000-9, R000-13, R000-14, R000-15, R000-16, R000-27, D13, D14, D20: test_tag_existing_image_success: a re-tag moves no blob and keeps every byte of the index', async () => {
    const result = await release('web', 'v1.0.0', '--commit', COMMIT);
    const requests = proxy.takeRequests();
    expect(requests.filter(({ path }) => !/\/(manifests|tags)\//.test(path)).map(({ path }) => path)).toEqual([]);
    expect(requests.filter(({ path }) => path.endsWith(COMMIT)).map(({ method }) => method)).toEqual(['HEAD']);
    // Nothing but the two tags is written, and each gets the index alone.
    const puts = requests.filter(({ method }) => method !== 'GET' && method !== 'HEAD');
    expect(puts.map(({ method, path, requestBytes }) => [method, path.split('/').at(-1), requestBytes])).toEqual([
      ['PUT', 'v1.0.0', image.bytes.length],
      ['PUT', 'latest', image.bytes.length],
    ]);
    for (const tag of [COMMIT, 'v1.0.0', 'latest']) {
      const { bytes, digest, mediaType } = await client.getManifest(repositoryOf('web'), tag, { signal });
      expect([digest, mediaType, Buffer.compare(bytes, image.bytes)]).toEqual([image.digest, image.mediaType, 0]);
    }
    for (const child of image.children)
      expect((await client.headManifest(repositoryOf('web'), child, { signal }))?.digest).toBe(child);
    expect(linesOf(result)).toEqual([
      `✅ Found existing image for commit 860c190: ${proxy.address}/${owner}/demo-web:${COMMIT}`,
      'Optimizing: Re-tagging existing image instead of rebuilding',
      '✅ Tagged with v1.0.0',
      '✅ Tagged with latest',
      'Successfully tagged web v1.0.0 from existing commit image',
    ]);
    expect(result.stdout).toContain(image.digest);
  });

  test('R000-3, R000-27: test_tag_and_push_image_reuses_existing_commit_image: without a daemon or a context to build from', async () => {
    const nowhere = ['--context', join(directory, 'none'), '--buildkit', `unix://${directory}/none.sock`];
    const args = ['release', 'web', 'v1.0.1', '--registry', proxy.address, '--commit', COMMIT, ...nowhere];
    expect(await json(...args)).toMatchObject({ how: 'retagged', source: image.digest });
    expect(await digestOf('web', 'v1.0.1')).toBe(image.digest);
  });

  test('D16: a commit that becomes another image in the middle is released as the one that was found', async () => {
    const moving = 'd'.repeat(40);
    const first = await pushTestIndex(client, repositoryOf('web'), moving, { directory });
    const move = async () => {
      await pushTestIndex(client, repositoryOf('web'), moving, { directory });
    };
    // Behind the look-up, before the first tag is written.
    proxy.inject({ method: 'GET', path: /\/tags\/list/ }, { kind: 'meanwhile', first: move });
    await release('web', 'v1.0.3', '--commit', moving, '--latest', 'always');
    expect([await digestOf('web', 'v1.0.3'), await digestOf('web', 'latest')]).toEqual([first.digest, first.digest]);
    expect(await digestOf('web', moving)).not.toBe(first.digest);
  });

  test('R000-11: a 5xx in the middle is tried again and ends in success', async () => {
    proxy.inject({ method: 'PUT' }, { kind: 'answer', status: 503 });
    proxy.inject({ method: 'GET', path: /manifests/ }, { kind: 'answer', status: 500 });
    const lines = linesOf(await release('web', 'v1.0.2', '--commit', COMMIT));
    expect(lines.at(-1)).toBe('Successfully tagged web v1.0.2 from existing commit image');
    expect(await digestOf('web', 'v1.0.2')).toBe(image.digest);
  });

  test('D39: a dry run only reads; a plan is applied as it stands, refused when latest moved, and undone', async () => {
    const file = join(directory, 'plan.json');
    proxy.takeRequests();
    const flags = ['--registry', proxy.address, '--commit', COMMIT];
    const dry = await json('release', 'web', 'v1.1.0', '--dry-run', ...flags);
    const plan = await json('release', 'plan', 'web', 'v1.1.0', ...flags, '--output', file);
    expect({ ...plan, at: '' }).toEqual({ ...dry, at: '' });
    expect(JSON.parse(await readFile(file, 'utf8'))).toEqual(plan);
    expect(new Set(proxy.takeRequests().map(({ method }) => method))).toEqual(new Set(['GET', 'HEAD']));
    const other = await pushTestIndex(client, repositoryOf('web'), 'latest', { directory });
    expect(await refusal('release', 'apply', file)).toMatchObject({ exitCode: 73, code: 'RELEASE_PLAN_STALE' });
    expect(await digestOf('web', 'v1.1.0')).toBeUndefined();
    const again = await json('release', 'web', 'v1.1.0', ...flags, '--latest', 'always');
    await writeFile(file, JSON.stringify(again));
    expect(await digestOf('web', 'latest')).toBe(image.digest);
    await json('release', 'undo', file);
    expect([await digestOf('web', 'latest'), await digestOf('web', 'v1.1.0')]).toEqual([other.digest, image.digest]);
  });

  test('R000-12, R000-22, R000-23, R000-24, R000-27: test_tag_existing_image_fallback: what was to be tagged is gone, and all tags name the image that is built', async () => {
    // The tag still answers, the manifest behind it does not: for the re-tag, and when it is looked at once more.
    const gone = { method: 'GET', path: new RegExp(`/manifests/${image.digest}$`) };
    proxy.inject(gone, { kind: 'answer', status: 404 }, { times: 2 });
    proxy.takeRequests();
    const result = await release('web', 'v1.2.0', '--commit', COMMIT);
    expect(linesOf(result)).toEqual([
      `✅ Found existing image for commit 860c190: ${proxy.address}/${owner}/demo-web:${COMMIT}`,
      'Optimizing: Re-tagging existing image instead of rebuilding',
      expect.stringMatching(/^Failed to tag existing image, falling back to rebuild: \S/) as string,
      'Rebuilding image...',
      'Building OCI image index with platform transitions...',
      '✅ Built OCI image index containing 2 platform variants',
      'Pushing OCI image index with 3 tags...',
      'Successfully pushed web v1.2.0 (after fallback)',
    ]);
    expect(tagsPut(proxy.takeRequests())).toEqual([COMMIT, 'v1.2.0', 'latest']);
    const built = await digestOf('web', 'v1.2.0');
    expect(built).not.toBe(image.digest);
    expect([await digestOf('web', COMMIT), await digestOf('web', 'latest')]).toEqual([built, built]);
    expect(await digestOf('web', 'v1.0.0')).toBe(image.digest);
  });
});

describe('an image that is built', () => {
  const built = { digest: '' };

  test('R000-3, R000-5, R000-9, R000-17, R000-18, R000-19, R000-20, R000-21, R000-27: test_tag_and_push_image_builds_when_commit_image_missing: the first release pushes commit, version and latest, and no other tag', async () => {
    proxy.takeRequests();
    const result = await release('app', 'v1.0.0', '--commit', COMMIT, '--attest', 'provenance');
    const requests = proxy.takeRequests();
    expect(requests.find(isOfTag)).toMatchObject({ method: 'HEAD', path: expect.stringContaining(COMMIT) as string });
    expect(tagsPut(requests)).toEqual([COMMIT, 'v1.0.0', 'latest']);
    expect(linesOf(result)).toEqual([
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
      await ran('mount', reference, mountpoint);
      try {
        expect(await readFile(join(mountpoint, 'srv/hello'), 'utf8')).toBe(`hello ${process.pid}\n`);
      } finally {
        await ran('umount', mountpoint);
      }
    }
    const blobs = proxy.takeRequests().filter(({ path }) => path.includes('/blobs/'));
    // No layer is read to be indexed: what is asked for are ranges of what the reader wanted.
    expect(blobs.filter(({ method, range }) => method === 'GET' && range === undefined)).toEqual([]);
  });

  test('R000-22, R000-24, R000-27, R000-29: test_tag_and_push_image_fallback_on_tagging_failure: the image is built, and every tag is one image', async () => {
    proxy.inject({ method: 'PUT', path: /manifests\/v1\.2\.0$/ }, { kind: 'answer', status: 403 });
    const lines = linesOf(await release('app', 'v1.2.0', '--commit', COMMIT));
    expect(lines[2]).toMatch(/^Failed to tag existing image, falling back to rebuild: .*403/);
    expect(lines[3]).toBe('Rebuilding image...');
    expect(lines.at(-1)).toBe('Successfully pushed app v1.2.0 (after fallback)');
    expect(classifyRelease(lines)).toBe('fallback');
    for (const tag of [COMMIT, 'v1.0.0', 'v1.2.0', 'latest']) expect(await digestOf('app', tag)).toBe(built.digest);
  });

  test('R000-2: without a commit no tag is looked up before the image is built and pushed, and none of a commit is touched', async () => {
    proxy.takeRequests();
    const result = await release('app', 'v2.0.0', '--label', 'built=anew');
    const requests = proxy.takeRequests();
    const pushed = requests.findLastIndex(
      ({ method, path }) => method === 'PUT' && path.includes('/manifests/sha256:'),
    );
    expect(pushed).toBeGreaterThan(0);
    expect(requests.slice(0, pushed).filter((each) => isOfTag(each) || each.path.includes('/tags/'))).toEqual([]);
    expect(tagsPut(requests)).toEqual(['v2.0.0', 'latest']);
    expect(requests.filter(({ path }) => path.endsWith(COMMIT))).toEqual([]);
    expect(linesOf(result)).toEqual([
      'Building OCI image index with platform transitions...',
      '✅ Built OCI image index containing 2 platform variants',
      'Pushing OCI image index with 2 tags...',
      'Successfully pushed app v2.0.0',
    ]);
    expect(await digestOf('app', COMMIT)).toBe(built.digest);
    expect(await digestOf('app', 'latest')).not.toBe(built.digest);
  });
});

test.for<[title: string, args: readonly string[], code: string]>([
  ['no domain', ['--domain', ''], 'RELEASE_NAME_INVALID'],
  ['no tag', ['--commit', 'a b'], 'RELEASE_TAG_INVALID'],
])('a release with %s is refused before anything is asked', async ([, args, code]) => {
  expect(await refusal('release', 'web', 'v1', ...place(), ...args)).toMatchObject({ exitCode: 64, code });
});

test('R000-28: an empty commit, as workflows write it, is none', async () => {
  const { tags } = await json('release', 'none', 'v1.0.0', ...place(), '--commit', '', '--dry-run');
  expect(tags.map(({ tag }) => tag)).toEqual(['v1.0.0', 'latest']);
});
