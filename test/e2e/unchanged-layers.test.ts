import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BuildResult } from '../../src/jobs/index.ts';
import { MAX_MANIFEST_BYTES, OciLayout, parseManifest } from '../../src/oci/index.ts';
import { startBuildkit } from '../support/buildkitd.ts';
import { buildJson } from '../support/command-line.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { observeBuild } from '../support/job-events.ts';
import { serviceSetting } from '../support/services.ts';
import { smallContext } from '../support/small-context.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary-directory.ts';

const signal = AbortSignal.timeout(120_000);
const repository = `unchanged/${process.pid}`;

describe('an unchanged layer costs a lookup', () => {
  let scratch: TemporaryDirectory;
  let proxy: FaultProxy;
  let base: BuildResult;
  let target: string;

  /** Base, then files on top of it; `--link` leaves the base unread by the steps themselves. */
  const derived = async (name: string, files: readonly string[]): Promise<string> => {
    const directory = join(scratch.path, name);
    await mkdir(directory, { recursive: true });
    for (const file of files) await writeFile(join(directory, file), `${file} of ${repository}`);
    const copies = files.map((file) => `COPY --link ${file} /${file}\n`).join('');
    await writeFile(join(directory, 'Dockerfile'), `FROM ${base.storageRef}\n${copies}`);
    return directory;
  };
  const args = (context: string, imageId: string) => [
    '--context',
    context,
    '--workspace',
    'unchanged',
    '--image-id',
    imageId,
    '--registry',
    target,
  ];
  /** Requests for bytes of layers, by anybody: the daemon asks through the same proxy. */
  const layerReads = () => {
    const layers = new Set<string>(base.layers.map(({ digest }) => digest));
    return proxy
      .takeRequests()
      .filter(({ method, path }) => method === 'GET' && layers.has(path.slice(path.lastIndexOf('/') + 1)));
  };

  beforeAll(async () => {
    scratch = await temporaryDirectory('unchanged');
    proxy = await FaultProxy.start(serviceSetting('CLIPYARD_REGISTRY'));
    target = `${proxy.address}/${repository}`;
    base = await buildJson(args(await smallContext(join(scratch.path, 'base')), 'base'));
  });
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]();
    await scratch[Symbol.asyncDispose]();
  });

  test('a base image is pulled once, by the daemon; after that its layers are neither read nor landed', async () => {
    await using buildkit = await startBuildkit({ plainHttp: [proxy.address] });
    proxy.takeRequests();
    const one = await observeBuild(args(await derived('one', ['a']), 'one'), buildkit.env);
    expect(one.result.layers.map(({ packed, pushed }) => [packed, pushed])).toEqual([
      ...base.layers.map(() => ['kept', 'present']),
      ['new', 'sent'],
    ]);
    expect(layerReads().length).toBe(base.layers.length);

    const two = await observeBuild(args(await derived('two', ['a', 'b']), 'two'), buildkit.env);
    expect(layerReads()).toEqual([]);
    expect(two.result.layers.map(({ packed, pushed }) => [packed, pushed])).toEqual([
      ...base.layers.map(() => ['kept', 'present']),
      ['cached', 'present'],
      ['new', 'sent'],
    ]);
    for (const { digest } of base.layers) expect(two.landed.get(digest)).toBe('elsewhere');
    const landing = two.result.sourceRef.slice('oci:'.length, -':latest'.length);
    const layout = await OciLayout.open(landing, { signal });
    // What stayed out is said to be absent: the layout is valid.
    expect(await layout.verify({ signal })).toMatchObject({ problems: [] });
    const entry = await layout.resolve('latest');
    const { layers } = parseManifest(await layout.readBlob(entry, { maxBytes: MAX_MANIFEST_BYTES, signal }));
    expect(await Promise.all(layers.map((layer) => layout.hasBlob(layer)))).toEqual([
      ...base.layers.map(() => false),
      false,
      true,
    ]);
  });

  test('a second image of the same layers lands none, reads no blob and asks for each once', async () => {
    const context = await smallContext(join(scratch.path, 'again'));
    const first = await buildJson(args(context, 'again'));
    proxy.takeRequests();
    const { landed, result } = await observeBuild(args(context, 'another'));
    expect(result.manifestDigest).toBe(first.manifestDigest);
    expect(result.layers.map(({ packed, pushed }) => [packed, pushed])).toEqual(
      first.layers.map(() => ['cached', 'present']),
    );
    // Manifest and configuration always land.
    expect([...landed.values()].toSorted()).toEqual([...first.layers.map(() => 'elsewhere'), 'link', 'link']);
    expect(result.phases.find(({ name }) => name === 'landing')?.bytes).toBeLessThan(10_000);
    const blobs = proxy.takeRequests().filter(({ path }) => path.includes('/blobs/'));
    expect(blobs.map(({ method }) => method)).toEqual(blobs.map(() => 'HEAD'));
    expect(new Set(blobs.map(({ path }) => path)).size).toBe(blobs.length);
    expect(blobs.length).toBe(first.layers.length + 1);
  });

  test('with --layout every blob is in it; what is not on this machine is fetched once', async () => {
    await using buildkit = await startBuildkit({ plainHttp: [proxy.address] });
    const directory = join(scratch.path, 'layout');
    proxy.takeRequests();
    const { result } = await observeBuild(
      [...args(await derived('three', ['a']), 'three'), '--layout', directory],
      buildkit.env,
    );
    expect(layerReads().length).toBe(base.layers.length);
    const layout = await OciLayout.open(directory, { signal });
    expect(await layout.verify({ signal })).toMatchObject({ problems: [], blobs: result.layers.length + 2 });
  });
});
