import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf } from '../../src/digest/index.ts';
import type { BuildResult } from '../../src/jobs/index.ts';
import { openStore } from '../../src/objects/index.ts';
import { type Index, type Manifest, OciLayout } from '../../src/oci/index.ts';
import { createRegistryClient, formatReference, parseReference } from '../../src/registry/index.ts';
import { copyImage, retagImage } from '../../src/release/index.ts';
import { buildJson, commandError, commandJson } from '../support/command-line.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { serviceSetting } from '../support/services.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary-directory.ts';

const run = promisify(execFile);
const signal = AbortSignal.timeout(120_000);
const imageId = `platforms_${process.pid}`;

/** More than an archive carries itself: reading it asks the registry. */
const COMMON = randomBytes(400_000).toString('hex');
/** The RUN is native; what it makes is copied into both images. */
const DOCKERFILE = `FROM --platform=$BUILDPLATFORM scratch AS tools
COPY busybox /bin/busybox
ARG TARGETARCH
RUN ["/bin/busybox", "sh", "-c", "echo made for $TARGETARCH > /made"]
FROM scratch
ARG TARGETARCH
COPY common /common
COPY \${TARGETARCH} /arch
COPY --from=tools /made /made
`;

let scratch: TemporaryDirectory;
let proxy: FaultProxy;
let context: string;

beforeAll(async () => {
  scratch = await temporaryDirectory('platforms');
  proxy = await FaultProxy.start(serviceSetting('CLIPYARD_REGISTRY'));
  context = join(scratch.path, 'context');
  await mkdir(context);
  await copyFile('/bin/busybox', join(context, 'busybox'));
  await chmod(join(context, 'busybox'), 0o755);
  for (const name of ['amd64', 'arm64']) await writeFile(join(context, name), `${name} ${process.pid}\n`);
  await writeFile(join(context, 'common'), COMMON);
  await writeFile(join(context, 'Dockerfile'), DOCKERFILE);
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await scratch[Symbol.asyncDispose]();
});

const flags = (id: string) => [
  ...['--context', context, '--workspace', 'e2e', '--image-id', id],
  ...['--registry', `${proxy.address}/platforms/${imageId}`, '--platform', 'linux/amd64,linux/arm64'],
];

/** A document of the registry, as skopeo gives it. */
async function raw(reference: string): Promise<{ readonly document: unknown; readonly digest: string }> {
  const { stdout } = await run('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${reference}`]);
  return { document: JSON.parse(stdout) as unknown, digest: digestOf(stdout) };
}

describe('an image of two platforms', () => {
  let first: BuildResult;
  beforeAll(async () => {
    first = await buildJson([...flags(imageId), '--layout', join(scratch.path, 'layout')]);
  });

  test('has an archive and a manifest each, one index under the tag, and shares what is the same', async () => {
    expect(first.platforms).toEqual(['linux/amd64', 'linux/arm64']);
    expect(first.archives.map(({ platform }) => platform)).toEqual(first.platforms);
    // common once; arch and made twice
    expect(first.layers.length).toBe(5);
    const { digest, document } = await raw(first.storageRef);
    expect(digest).toBe(first.manifestDigest);
    expect((document as Index).manifests.map(({ digest: each, platform }) => [platform?.architecture, each])).toEqual(
      first.archives.map(({ manifestDigest, platform }) => [platform.split('/')[1], manifestDigest]),
    );
    for (const { manifestDigest } of first.archives) {
      const { document: manifest } = await raw(`${proxy.address}/platforms/${imageId}@${manifestDigest}`);
      expect((manifest as Manifest).layers.length).toBe(3);
    }
    const layout = await OciLayout.open(join(scratch.path, 'layout'), { signal });
    expect(await layout.verify({ signal })).toMatchObject({ problems: [], blobs: 5 + 2 + 2 + 1 });
  });

  test('the pointer names every archive', async () => {
    await using store = openStore(serviceSetting('CLIPYARD_STORE'), process.env);
    const { body } = await store.get(`images/e2e/${imageId}.json`, { signal });
    const pointer = JSON.parse(Buffer.concat((await body.toArray()) as Buffer[]).toString()) as object;
    expect(pointer).toMatchObject({
      version: 1,
      generation: 1,
      indexDigest: first.manifestDigest,
      archives: Object.fromEntries(
        first.archives.map(({ digest, manifestDigest, platform, sizeBytes }) => [
          platform,
          { digest, sizeBytes, manifestDigest, storageRef: first.storageRef },
        ]),
      ),
    });
  });

  test.for(['amd64', 'arm64'])('mount --platform linux/%s shows the files of that platform', async (architecture) => {
    const mountpoint = join(scratch.path, `mnt-${architecture}`);
    await mkdir(mountpoint);
    await commandJson(['mount', `e2e/${imageId}`, mountpoint, '--platform', `linux/${architecture}`]);
    try {
      expect(await readFile(join(mountpoint, 'arch'), 'utf8')).toBe(`${architecture} ${process.pid}\n`);
      expect(await readFile(join(mountpoint, 'made'), 'utf8')).toBe(`made for ${architecture}\n`);
      expect(await readFile(join(mountpoint, 'common'), 'utf8')).toBe(COMMON);
    } finally {
      await commandJson(['umount', mountpoint]);
    }
  });

  test('D20: under another tag and in another repository it mounts as docker://REF, without a new index', async () => {
    await using client = createRegistryClient();
    await using other = await FaultProxy.start(serviceSetting('CLIPYARD_REGISTRY'));
    const source = parseReference(
      `${first.storageRef.slice(0, first.storageRef.lastIndexOf(':'))}@${first.manifestDigest}`,
    );
    const mirror = { registry: other.address, repository: `platforms/mirror${process.pid}`, tag: 'stable' };
    await retagImage({ client, repository: source, source: first.manifestDigest, targets: [{ tag: '1.0.0' }], signal });
    await copyImage({ client, source, target: mirror, signal });
    const mountpoint = join(scratch.path, 'mnt-named');
    await mkdir(mountpoint);
    for (const [front, reference] of [
      [proxy, formatReference({ registry: source.registry, repository: source.repository, tag: '1.0.0' })],
      [other, formatReference(mirror)],
    ] as const) {
      const state = join(scratch.path, `state${String(front.address.split(':')[1])}`);
      const env = { CLIPYARD_STATE: state, CLIPYARD_CACHE: join(state, 'cache') };
      for (const each of [proxy, other]) each.takeRequests();
      await commandJson(['mount', `docker://${reference}`, mountpoint], env);
      try {
        expect(await readFile(join(mountpoint, 'made'), 'utf8')).toBe('made for amd64\n');
        expect(await readFile(join(mountpoint, 'common'), 'utf8')).toBe(COMMON);
      } finally {
        await commandJson(['umount', mountpoint], env);
      }
      // Blobs come from where REF says, although the archive names where they were first.
      for (const each of [proxy, other])
        expect([reference, each.takeRequests().some(({ path }) => path.includes('/blobs/'))]).toEqual([
          reference,
          each === front,
        ]);
    }
  });

  test('a platform the image does not have is refused by name', async () => {
    const error = await commandError(['mount', `e2e/${imageId}`, scratch.path, '--platform', 'linux/s390x']);
    expect(error.code).toBe('PLATFORM_NOT_FOUND');
    expect(error.message).toContain('linux/amd64, linux/arm64');
  });

  test('the same build again sends nothing and changes nothing', async () => {
    proxy.takeRequests();
    const again = await buildJson(flags(imageId));
    expect(again.manifestDigest).toBe(first.manifestDigest);
    expect(again.archives).toEqual(first.archives);
    expect(again).toMatchObject({ bytesPushed: 0, generation: 1 });
    expect(proxy.takeRequests().filter(({ method, path }) => path.includes('/blobs/') && method !== 'HEAD')).toEqual(
      [],
    );
  });

  test('one architecture changed leaves the other archive as it is', async () => {
    await writeFile(join(context, 'arm64'), 'changed\n');
    const changed = await buildJson(flags(imageId));
    const digests = ({ archives }: BuildResult) => archives.map(({ digest }) => digest);
    expect(digests(changed)[0]).toBe(digests(first)[0]);
    expect(digests(changed)[1]).not.toBe(digests(first)[1]);
    expect(changed.generation).toBe(2);
  });
});

interface Statement {
  readonly subject: readonly { readonly digest: { readonly sha256: string } }[];
  readonly predicateType: string;
}

test.for<[what: string, platforms: string, attest: readonly string[]]>([
  ['two platforms', 'linux/amd64,linux/arm64', ['--attest', 'provenance,mode=max']],
  ['one platform', 'linux/amd64', ['--attest', 'type=provenance,mode=min']],
])('attestations of %s name the manifests that are published', async ([, platforms, attest]) => {
  const id = `attested_${process.pid}_${String(platforms.length)}`;
  const layoutDir = join(scratch.path, `layout-${id}`);
  const result = await buildJson([...flags(id), '--platform', platforms, ...attest, '--layout', layoutDir]);
  expect(result.platforms).toEqual(platforms.split(','));
  const document = (await raw(result.storageRef)).document as Index;
  const manifests = result.archives.map(({ manifestDigest }) => manifestDigest);
  const attestations = document.manifests.slice(manifests.length);
  expect(document.manifests.slice(0, manifests.length).map(({ digest }) => digest)).toEqual(manifests);
  expect(attestations.map(({ annotations }) => annotations?.['vnd.docker.reference.digest']).toSorted()).toEqual(
    manifests.toSorted(),
  );
  const layout = await OciLayout.open(layoutDir, { signal });
  expect(await layout.verify({ signal })).toMatchObject({ problems: [] });
  for (const { annotations, digest } of attestations) {
    const manifest = (await raw(`${proxy.address}/platforms/${imageId}@${digest}`)).document as Manifest;
    if (manifest.subject !== undefined)
      expect(manifest.subject.digest).toBe(annotations?.['vnd.docker.reference.digest']);
    expect(manifest.layers.length).toBe(1);
    for (const layer of manifest.layers) {
      const bytes = await layout.readBlob(layer, { maxBytes: 1 << 24, signal });
      const statement = JSON.parse(Buffer.from(bytes).toString('utf8')) as Statement;
      expect(statement.predicateType).toMatch(/^https:\/\/slsa.dev\/provenance\//);
      const subjects = new Set(statement.subject.map((each) => `sha256:${each.digest.sha256}`));
      expect(subjects).toEqual(new Set([annotations?.['vnd.docker.reference.digest']]));
    }
  }
  expect(result.attestations.map(({ subject }) => subject).toSorted()).toEqual(manifests.toSorted());
});

test('with layers that are kept, manifests and what is attested of them stay as BuildKit made them', async () => {
  const result = await buildJson([...flags(`kept_${process.pid}`), '--compression', 'none', '--attest', 'provenance']);
  const directory = result.sourceRef.slice('oci:'.length, -':latest'.length);
  const layout = await OciLayout.open(directory, { signal });
  const bytes = await layout.readBlob(await layout.resolve('latest'), { maxBytes: 1 << 22, signal });
  const digestsOf = ({ manifests }: Index) => manifests.map(({ digest }) => digest);
  const landed = digestsOf(JSON.parse(Buffer.from(bytes).toString('utf8')) as Index);
  expect(digestsOf((await raw(result.storageRef)).document as Index)).toEqual(landed);
  expect(result.layers.map(({ packed }) => packed)).toEqual(result.layers.map(() => 'kept'));
});

test('an attestation of an unknown kind is refused', async () => {
  expect((await commandError(['build', ...flags('unknown'), '--attest', 'horoscope'])).code).toBe('USAGE');
});
