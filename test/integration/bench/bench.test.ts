import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { BenchDocument } from '../../../src/bench/index.ts';
import { createRegistryClient } from '../../../src/registry/index.ts';
import { commandError, runCommand, startCommand } from '../../support/command-line.ts';
import { type TarEntry, tarStream, writeLayout } from '../../support/corpus/index.ts';
import { serviceSetting } from '../../support/services.ts';

const registry = serviceSetting('CLIPYARD_REGISTRY');

/** Dozens of programs are started one after the other. */
const LONG = { timeout: 400_000 };

/** On the file system of the state: a daemon's snapshots need a real one. */
async function stateDirectory(): Promise<{ readonly path: string } & AsyncDisposable> {
  const parent = join(serviceSetting('CLIPYARD_STATE'), 'tmp');
  await mkdir(parent, { recursive: true });
  const path = await mkdtemp(join(parent, 't-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Runs a benchmark in a state directory of its own and checks what it says and writes. */
async function bench(name: string, args: readonly string[]): Promise<BenchDocument> {
  await using directory = await stateDirectory();
  const output = join(directory.path, 'results');
  const state = join(directory.path, 'state');
  const { exitCode, stderr, stdout } = await runCommand(['--json', 'bench', name, ...args, '--output', output], {
    CLIPYARD_STATE: state,
  });
  expect(exitCode, stderr.slice(-2000)).toBe(0);
  const document = BenchDocument.parse(JSON.parse(stdout));
  expect(JSON.parse(readFileSync(join(output, `bench-${name}.json`), 'utf8'))).toEqual(document);
  expect(readFileSync(join(output, `bench-${name}.html`), 'utf8')).toMatch(/<svg[\s\S]*<\/html>/);
  expect(readdirSync(join(state, 'tmp'))).toEqual([]);
  return document;
}

function nodesOf({ contenders }: BenchDocument): readonly (number | undefined)[] {
  return contenders.map(({ nodes }) => nodes);
}

test('bench index runs every contender on a generated image, and all find the same files', async () => {
  const document = await bench('index', ['--size', '8MB', '--files', '200', '--rounds', '1']);
  expect(document.contenders.map(({ id, runs }) => [id, runs.length])).toEqual([
    ['native', 1],
    ['native-cached', 1],
    ['portable', 1],
    ['legacy', 1],
    ['clip', 1],
    ['buildkit-gzip-clip', 1],
  ]);
  expect(new Set(nodesOf(document)).size).toBe(1);
  const compressed = Number(document.input['compressedBytes']);
  const received = (id: string) => document.contenders.find((each) => each.id === id)?.receivedBytes ?? -1;
  expect(received('native')).toBe(0);
  expect(received('legacy')).toBeGreaterThan(compressed);
  expect(received('clip')).toBeGreaterThan(compressed);
});

test('bench pipeline runs every flow from the same steps, also behind a link, and leaves no image behind', async () => {
  const args = ['--size', '2MB', '--files', '60', '--layers', '2', '--rounds', '1', '--link', '200mbit,2ms'];
  const document = await bench('pipeline', args);
  expect(document.contenders.map(({ id, runs }) => [id, runs.length])).toEqual([
    ['clipyard', 1],
    ['buildkit-gzip-clip', 1],
    ['buildkit-gzip1-clip', 1],
    ['buildkit-zstd', 1],
  ]);
  const [ours, ...others] = nodesOf(document);
  expect(ours).toBeGreaterThan(60);
  expect(others).toEqual([ours, ours, undefined]);
  for (const { blobBytes = 0, sentBytes = 0 } of document.contenders) expect(sentBytes).toBeGreaterThan(blobBytes);
});

test('bench mount reads one image through every mount, the far file by a small part of its layer', LONG, async () => {
  const args = ['--size', '40MB', '--files', '300', '--layers', '2', '--rounds', '1'];
  const { contenders, input } = await bench('mount', args);
  expect(contenders.map(({ id, unavailable = '' }) => [id, unavailable])).toEqual([
    ['erofs', ''],
    ['erofs-profile', 'no program is started: give --exec'],
    ['fuse', ''],
    ['fuse-profile', 'no program is started: give --exec'],
    ['clip', ''],
    ['overlayfs', ''],
  ]);
  const operations = ['walk', 'stat', 'read-all', 'sequential', 'random', 'far-file'];
  const [farBytes, layerBytes] = [Number(input['farBytes']), Number(input['farLayerBytes'])];
  expect(farBytes).toBe(2_000_000);
  for (const { id, mount } of contenders.filter(({ unavailable }) => unavailable === undefined)) {
    expect(mount?.operations.map(({ name }) => name)).toEqual(operations);
    for (const { coldSeconds, fromNothingSeconds, warmSeconds } of mount?.operations ?? []) {
      expect(Math.min(coldSeconds.min, warmSeconds.min)).toBeGreaterThan(0);
      expect(fromNothingSeconds.median).toBeGreaterThan(coldSeconds.median);
    }
    expect((mount?.peakBytes ?? 0) > 0, id).toBe(id !== 'overlayfs');
  }
  for (const { id, ratios } of contenders.filter(({ id }) => id === 'erofs' || id === 'fuse')) {
    expect(Object.keys(ratios ?? {}).toSorted(), id).toEqual(['clip', 'overlayfs']);
    for (const name of operations)
      expect(Object.keys(ratios?.['overlayfs']?.operations[name] ?? {}), name).toContain('warm');
  }
  const mountOf = (wanted: string) => contenders.find(({ id }) => id === wanted)?.mount;
  const received = (id: string, name: string) =>
    mountOf(id)?.operations.find((operation) => operation.name === name)?.receivedBytes ?? -1;
  for (const lazy of ['erofs', 'fuse']) {
    expect(mountOf(lazy)?.receivedBytes).toBe(0);
    expect(received(lazy, 'walk')).toBe(0);
    const ofWalk = mountOf(lazy)?.operations.find(({ name }) => name === 'walk');
    expect([ofWalk?.requests, ofWalk?.waits], lazy).toEqual([0, 0]);
    // find(1) asks for statfs once a walk, which no kernel keeps; engine erofs answers it in the kernel. Three warm runs are of four walks each.
    expect(ofWalk?.warmRequests, lazy).toBeLessThanOrEqual(lazy === 'erofs' ? 0 : 12);
    expect(received(lazy, 'far-file')).toBeGreaterThan(farBytes);
    expect(received(lazy, 'far-file')).toBeLessThan(layerBytes / 2);
    expect(received(lazy, 'read-all')).toBeGreaterThan(layerBytes);
  }
  expect(mountOf('overlayfs')?.receivedBytes).toBeGreaterThan(Number(input['compressedBytes']));
  expect(received('overlayfs', 'read-all')).toBe(0);
});

test('bench mount takes a given image with whiteouts and starts a program in it, behind a link', LONG, async () => {
  await using directory = await stateDirectory();
  const busybox = readFileSync('/bin/busybox');
  const file = (name: string, data: string | Buffer, mode = 0o644): TarEntry => ({ name, type: '0', mode, data });
  const folder = (name: string): TarEntry => ({ name, type: '5', mode: 0o755 });
  const lower = [
    folder('bin/'),
    file('bin/sh', busybox, 0o755),
    folder('d/'),
    file('d/gone', 'x'),
    file('e/gone', 'y'),
  ];
  const upper = [file('d/.wh.gone', ''), file('d/new', 'n'), file('e/.wh..wh..opq', ''), file('e/kept', 'z')];
  const given = await writeLayout(join(directory.path, 'given'), [tarStream(lower), tarStream(upper)], 'zstd');
  const { contenders, link } = await bench('mount', [
    ...['--image', `oci:${given.dir}`, '--rounds', '1', '--link', '200mbit,2ms'],
    ...['--exec', 'test ! -e /d/gone && test ! -e /e/gone && read line < /e/kept; test "$line" = z'],
    ...['--exec', 'exec /bin/sh -c true', '--operations', 'walk'],
    // The stock mount shows what the marks should hide, and a difference ends the benchmark.
    ...['--contenders', 'erofs,erofs-profile,fuse,fuse-profile,overlayfs'],
  ]);
  expect(link).toEqual({ bytesPerSecond: 25_000_000, roundTripMs: 2 });
  expect(
    contenders.map(({ id, mount, unavailable = '' }) => [id, mount?.operations.at(-1)?.name, unavailable]),
  ).toEqual([
    ['erofs', 'exec-2', ''],
    ['erofs-profile', 'exec-2', ''],
    ['fuse', 'exec-2', ''],
    ['fuse-profile', 'exec-2', ''],
    ['overlayfs', 'exec-2', ''],
  ]);
  const operationsOf = (wanted: string) =>
    contenders.find(({ id }) => id === wanted)?.mount?.operations.map(({ name }) => name);
  expect(operationsOf('erofs')).toEqual(['walk', 'exec', 'exec-2']);
  expect(operationsOf('erofs-profile')).toEqual(['exec', 'exec-2']);
});

test('bench mount fails when a program in the tree does, and leaves nothing mounted', async () => {
  await using directory = await stateDirectory();
  const args = ['mount', '--size', '1MB', '--files', '20', '--rounds', '1', '--contenders', 'fuse', '--exec', 'true'];
  const error = await commandError(['bench', ...args, '--output', directory.path], {
    CLIPYARD_STATE: join(directory.path, 'state'),
  });
  expect(error.code).toBe('BENCH_FAILED');
  expect(error.message).toContain('chroot');
  expect(readdirSync(join(directory.path, 'state', 'tmp'))).toEqual([]);
  expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(directory.path);
});

test('bench scale packs and assembles growing images', async () => {
  const args = ['--bytes', '1MB,2MB', '--entries', '100,200', '--codecs', 'zstd:1,gzip:1', '--rounds', '1'];
  const { fits, points = [] } = await bench('scale', args);
  expect(points).toHaveLength(8);
  expect(points.every(({ assemble, pack }) => pack.blobBytes > 0 && assemble.archiveBytes > 0)).toBe(true);
  expect(fits).toHaveLength(4);
});

test('a given image is indexed; who cannot run on it is listed with the reason', async () => {
  await using directory = await stateDirectory();
  const { writeImage } = await import('../../../src/bench/image/write-image.ts');
  const layout = { directory: join(directory.path, 'layout'), codec: 'plain' as const };
  const signal = AbortSignal.timeout(60_000);
  await writeImage({ sizeBytes: 100_000, files: 20, layers: 2, seed: 3 }, { layout, jobs: 2, signal });
  const args = [
    '--image',
    `oci:${layout.directory}`,
    '--rounds',
    '1',
    '--contenders',
    'native,clip,buildkit-gzip-clip',
  ];
  const { contenders } = await bench('index', args);
  expect(contenders.map(({ id, unavailable = '' }) => [id, unavailable])).toEqual([
    ['native', ''],
    ['clip', expect.stringContaining('gzip layers only')],
    ['buildkit-gzip-clip', expect.stringContaining('compressed already')],
  ]);
});

test('bench pipeline builds a given image again from its layers; one that deletes files is refused', async () => {
  await using directory = await stateDirectory();
  const file = (name: string): TarEntry => ({ name, type: '0', mode: 0o644, data: `${name} ${randomUUID()}` });
  const tars = [tarStream([file('a'), file('d/b')]), tarStream([]), tarStream([file('c')])];
  const given = await writeLayout(join(directory.path, 'given'), tars, 'zstd');
  const flags = ['--rounds', '1', '--contenders', 'clipyard,buildkit-gzip-clip'];
  const document = await bench('pipeline', ['--image', `oci:${given.dir}:latest`, ...flags]);
  expect(document.input).toMatchObject({ image: 'OCI layout', layers: 3, entries: 3, manifest: given.manifestDigest });
  expect(document.contenders.map(({ runs }) => runs.length)).toEqual([1, 1]);
  expect(nodesOf(document)).toEqual([5, 5]); // a, c, d, d/b and the root

  const deleting = await writeLayout(join(directory.path, 'deleting'), [...tars, tarStream([file('d/.wh.b')])], 'gzip');
  const args = ['bench', 'pipeline', '--image', `oci:${deleting.dir}`, ...flags, '--output', directory.path];
  const error = await commandError(args, { CLIPYARD_STATE: join(directory.path, 'state') });
  expect(error).toMatchObject({ code: 'BENCH_IMAGE_UNSUITABLE', exitCode: 64, details: { entry: 'd/.wh.b' } });
});

test('wrong flags are USAGE', async () => {
  for (const flags of [
    ['index', '--contenders', 'nobody'],
    ['index', '--image', 'nowhere'],
    ['pipeline', '--link', 'fast'],
    ['mount', '--contenders', 'native'],
    ['mount', '--operations', 'dance'],
    ['mount', '--image', 'docker://127.0.0.1:1/a:b', '--entries', '10'],
    ['scale', '--codecs', 'none:1'],
  ])
    expect(await commandError(['bench', ...flags, '--output', '/tmp'])).toMatchObject({ code: 'USAGE', exitCode: 64 });
});

test('a stopped benchmark leaves neither files nor processes nor an image', async () => {
  await using directory = await stateDirectory();
  const args = ['bench', 'pipeline', '--size', '2MB', '--files', '60', '--rounds', '100', '--output', directory.path];
  const running = startCommand(args, { CLIPYARD_STATE: join(directory.path, 'state') });
  await running.sawLine(/counting run: clipyard/);
  running.child.kill('SIGINT');
  expect((await running.result).exitCode).toBe(130);
  expect(readdirSync(join(directory.path, 'state', 'tmp'))).toEqual([]);
});

test('what a benchmark pushed is gone from the registry', async () => {
  const { pushImage, removeImage } = await import('../../../src/bench/contenders/registry-image.ts');
  const { writeImage } = await import('../../../src/bench/image/write-image.ts');
  const { OciLayout } = await import('../../../src/oci/index.ts');
  await using directory = await stateDirectory();
  const signal = AbortSignal.timeout(60_000);
  const layoutDir = join(directory.path, 'layout');
  const spec = { sizeBytes: 50_000, files: 10, layers: 1, seed: 4 };
  const { manifest } = await writeImage(spec, { layout: { directory: layoutDir, codec: 'gzip' }, jobs: 1, signal });
  await using client = createRegistryClient();
  const target = { registry, repository: 'bench-removal', tag: 'image' };
  await pushImage(await OciLayout.open(layoutDir, { signal }), manifest!, target, { client, signal });
  expect(await client.headManifest(target, 'image', { signal })).toBeDefined();
  await removeImage(target, { client, say: () => undefined });
  expect(await client.headManifest(target, 'image', { signal })).toBeUndefined();
  expect(await client.headManifest(target, manifest!.digest, { signal })).toBeUndefined();
});
