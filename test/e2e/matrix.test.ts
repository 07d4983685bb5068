import { chmod, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { BuildResult } from '../../src/jobs/index.ts';
import { imagesOf, OciLayout, parseIndex } from '../../src/oci/index.ts';
import { createRegistryClient } from '../../src/registry/index.ts';
import type { MatrixScan } from '../../src/release/index.ts';
import { runCommand } from '../support/command-line.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { runInProcess } from '../support/in-process.ts';
import { fakeProgram } from '../support/release/fake-program.ts';
import { serviceSetting } from '../support/services.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary-directory.ts';

const signal = AbortSignal.timeout(120_000);
const repository = `matrix/orb${process.pid}`;

/** What `shared` makes is random: made twice it would be two layers. */
const DOCKERFILE = `FROM --platform=$BUILDPLATFORM scratch AS Shared
COPY busybox /bin/busybox
RUN ["/bin/busybox", "dd", "if=/dev/urandom", "of=/shared", "bs=64k", "count=1"]
FROM scratch
ARG PYTHON_VERSION
COPY --from=shared /shared /shared
COPY --from=shared /bin/busybox /bin/busybox
COPY METADATA /usr/lib/python3/site-packages/jinja2-3.1.2.dist-info/METADATA
COPY python-\${PYTHON_VERSION} /python
ENV PYTHON_VERSION=\${PYTHON_VERSION}
CMD ["/bin/busybox", "cat", "/python"]
`;

let scratch: TemporaryDirectory;
let proxy: FaultProxy;
let flags: readonly string[];

beforeAll(async () => {
  scratch = await temporaryDirectory('matrix');
  proxy = await FaultProxy.start(serviceSetting('CLIPYARD_REGISTRY'));
  const context = join(scratch.path, 'context');
  await mkdir(context);
  await copyFile('/bin/busybox', join(context, 'busybox'));
  await chmod(join(context, 'busybox'), 0o755);
  for (const variant of ['3.9', '3.13'])
    await writeFile(join(context, `python-${variant}`), `python ${variant} ${scratch.path}\n`);
  await writeFile(join(context, 'Dockerfile'), DOCKERFILE);
  await writeFile(join(context, 'METADATA'), 'Name: Jinja2\nVersion: 3.1.2\n');
  const config = join(scratch.path, 'matrix.yaml');
  await writeFile(
    config,
    `registry: registry.example\nimage: ${repository}\ncontext: context\nvariants: ["3.9", "3.13"]\ndefault: "3.13"\n`,
  );
  flags = ['--config', config, '--registry', proxy.address];
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await scratch[Symbol.asyncDispose]();
});

const here = (...args: readonly string[]) =>
  runInProcess(['--json', ...args], { ...process.env, CLIPYARD_LOG: 'warn' });

async function json<T>(...args: readonly string[]): Promise<T> {
  const { exitCode, stderr, stdout } = await here(...args);
  if (exitCode !== 0) throw new Error(stderr.slice(-4000));
  return JSON.parse(stdout) as T;
}

async function eventFile(event: object): Promise<readonly string[]> {
  const path = join(scratch.path, 'event.json');
  await writeFile(path, JSON.stringify({ event: 'push', sha: 'c'.repeat(40), default_branch: 'main', ...event }));
  return [...flags, '--context', path];
}

interface MatrixDocument {
  readonly outputs: Readonly<Record<string, string>>;
  readonly builds: Readonly<Record<string, BuildResult>>;
  readonly scan: MatrixScan;
  readonly stored: { readonly layers: number; readonly bytes: number };
  readonly images: readonly { readonly variant: string; readonly digest: string }[];
}

test('R002-3, C14: a pull request is built for all platforms on this machine, and no registry is asked', async () => {
  const layout = join(scratch.path, 'layout');
  const event = await eventFile({ event: 'pull_request', ref: 'refs/pull/15/merge', pr: { number: 15 } });
  const { outputs } = await json<MatrixDocument>('matrix', ...event, '--layout', layout);
  expect(outputs['primary_tags']).toBe('pr-15');
  expect(proxy.takeRequests()).toEqual([]);
  const opened = await OciLayout.open(layout, { signal });
  for (const name of ['pr-15', 'pr-15-python3.9']) {
    const bytes = await opened.readBlob(await opened.resolve(name), { maxBytes: 1 << 20, signal });
    expect(imagesOf(parseIndex(bytes)).map(({ platform }) => platform?.architecture)).toEqual(['amd64', 'arm64']);
  }
});

test('R001-9, R001-10, R001-16, R001-17, R001-18, R001-29, R002-16: one build a variant for all platforms; what they share is made and sent once', async () => {
  const event = await eventFile({ ref: 'refs/tags/v1.0.0' });
  const advisories = join(scratch.path, 'osv.json');
  const affected = [{ package: { ecosystem: 'PyPI', name: 'jinja2' }, versions: ['3.1.2'] }];
  await writeFile(advisories, JSON.stringify({ id: 'GHSA-test', affected }));
  // It sees the image itself: what it was built of is in the tree that it is told of.
  const syft = await fakeProgram(
    scratch.path,
    'syft',
    `grep -q ${scratch.path} "\${2#dir:}/python" && exec cat ${join(import.meta.dirname, '../golden/scan/syft-1.44.0.json')}`,
  );
  const { exitCode, stderr, stdout } = await runCommand([
    ...['--json', 'matrix', ...event, '--scan', '--advisories', advisories, '--syft', syft, '--trivy', 'never'],
    ...['--budget', '1k'],
  ]);
  expect(exitCode, stderr).toBe(0);
  expect(stderr).toContain('the images take more than the budget in the registry');
  const run = JSON.parse(stdout) as MatrixDocument;
  const { builds, images } = run;
  expect(run.stored.layers).toBeGreaterThan(0);
  expect(Object.keys(builds).toSorted()).toEqual(['3.13', '3.9']);
  for (const { platforms } of Object.values(builds)) expect(platforms).toEqual(['linux/amd64', 'linux/arm64']);
  const [one, other] = [builds['3.9'], builds['3.13']];
  expect(other?.layers[0]?.digest).toBe(one?.layers[0]?.digest);
  expect(other?.layers.filter(({ pushed }) => pushed === 'sent')).toHaveLength(1);
  expect(other?.buildkit.cachedSteps).toBeGreaterThanOrEqual(2);
  await using client = createRegistryClient();
  const target = { registry: proxy.address, repository };
  for (const { digest, variant } of images) {
    const index = parseIndex((await client.getManifest(target, `python${variant}`, { signal })).bytes);
    expect(imagesOf(index)).toHaveLength(2);
    expect((await client.headManifest(target, `1.0.0-python${variant}`, { signal }))?.digest).toBe(digest);
  }
  expect(await client.headManifest(target, 'pr-15', { signal })).toBeUndefined();
  const found = run.scan.findings.map(({ rule, variant }) => [rule, variant]);
  expect(found).toEqual(
    expect.arrayContaining([
      ['GHSA-test', '3.13'],
      ['GHSA-test', '3.9'],
      ['IMG/root', '3.13'],
    ]),
  );
  for (const { packages, readers } of run.scan.images) {
    expect(readers).toEqual(['clipyard', 'syft-1.44.0']);
    expect(packages.filter(({ ecosystem }) => ecosystem === 'Go')).not.toEqual([]);
  }
  // One image by itself: the SBOM is written, and the gate is an error behind it.
  const sbom = join(scratch.path, 'sbom.json');
  const own = ['--syft', 'never', '--trivy', 'never', '--fail-on', 'low', '--sbom', sbom];
  const gate = await here('scan', one?.archives[0]?.uri ?? '', ...own);
  expect(JSON.parse(gate.stderr.trim().split('\n').at(-1) ?? '')).toMatchObject({
    error: { code: 'SCAN_FINDINGS', message: expect.stringContaining('IMG/root') as string },
  });
  expect(await readFile(sbom, 'utf8')).toContain('pkg:pypi/jinja2@3.1.2');
  // BuildKit's lint, once for all variants.
  expect(run.scan.findings.filter(({ rule }) => rule === 'DL/StageNameCasing')).toHaveLength(1);
  for (const { archives } of Object.values(builds)) {
    const subject = archives[0]?.manifestDigest;
    const referrers = subject === undefined ? [] : await client.listReferrers(target, subject, { signal });
    expect(referrers.map(({ artifactType }) => artifactType)).toEqual(['application/spdx+json']);
  }
});

test('R001-19, R001-20: what the tags name starts and is the variant they say', async () => {
  const event = await eventFile({ ref: 'refs/tags/v1.0.0' });
  await json('matrix', 'verify', ...event);
  // Again: nothing is built, and what is configured to run behind it does. The folder is an empty store.
  await mkdir(join(scratch.path, 'store'));
  const behind = ['--retention', 'keep=1', '--store', `file://${scratch.path}/store`];
  const again = await json<MatrixDocument>('matrix', ...event, ...behind);
  expect(again).toMatchObject({ builds: {}, retention: { keptReleases: ['1.0.0'], deleted: 0 } });
  for (const [tag, variant] of [
    ['latest', '3.13'],
    ['1.0.0-python3.9', '3.9'],
  ] as const) {
    const { exitCode, stderr, stdout } = await runCommand(['run', `docker://${proxy.address}/${repository}:${tag}`]);
    expect(exitCode, stderr).toBe(0);
    expect(stdout).toContain(`python ${variant} `);
  }
});
