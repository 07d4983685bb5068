import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { Contents } from '../../../src/bench/image/contents.ts';
import { generateImage } from '../../../src/bench/image/generated-image.ts';
import { writeImage } from '../../../src/bench/image/write-image.ts';
import { digestOf } from '../../../src/digest/index.ts';
import { OciLayout, parseImageConfig, parseManifest } from '../../../src/oci/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const signal = new AbortController().signal;
const spec = { sizeBytes: 3_000_000, files: 400, layers: 3, seed: 7 };

test.for([
  spec,
  { sizeBytes: 0, files: 5, layers: 5, seed: 1 },
  { sizeBytes: 10, files: 1000, layers: 2, seed: 1 },
  { sizeBytes: 123_456_789, files: 1, layers: 1, seed: 9 },
])('%j has just that many files and bytes, and no layer is empty', (wanted) => {
  const layers = generateImage(wanted).map((layer) => [...layer].filter((entry) => entry.type === 'file'));
  const files = layers.flat();
  expect(files).toHaveLength(wanted.files);
  expect(files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)).toBe(wanted.sizeBytes);
  expect(layers).toHaveLength(wanted.layers);
  expect(layers.every((layer) => layer.length > 0)).toBe(true);
  expect(new Set(files.map(({ path }) => path)).size).toBe(wanted.files);
});

test('more layers than files, and a file over 8 GiB, are refused', () => {
  expect(() => generateImage({ ...spec, layers: 401 })).toThrow(expect.objectContaining({ code: 'USAGE' }));
  expect(() => generateImage({ ...spec, sizeBytes: 9 * 1024 ** 3, files: 1, layers: 1 })).toThrow(
    expect.objectContaining({ code: 'USAGE' }),
  );
});

test('a last file comes on top, at the end of the largest layer', () => {
  const paths = (wanted: Parameters<typeof generateImage>[0]) =>
    generateImage(wanted).map((layer) => [...layer].map(({ path }) => path));
  const [first = [], ...others] = paths(spec);
  expect(paths({ ...spec, lastFileBytes: 5000 })).toEqual([[...first, 'usr/lib/last.bin'], ...others]);
});

test('the same seed gives the same image, another one another', { timeout: 60_000 }, async () => {
  await using directory = await temporaryDirectory();
  const write = async (name: string, seed: number) => {
    const layout = { directory: join(directory.path, name), codec: 'gzip' as const };
    return (await writeImage({ ...spec, seed }, { layout, jobs: 2, signal })).manifest?.digest;
  };
  const first = await write('a', 1);
  expect(await write('b', 1)).toBe(first);
  expect(await write('c', 2)).not.toBe(first);
});

test('the bytes of a file do not depend on which files were asked for before', () => {
  const files = () => generateImage(spec).flatMap((layer) => [...layer].filter((entry) => entry.type === 'file'));
  const bytesOf = (contents: Contents, { kind, offset, sizeBytes }: ReturnType<typeof files>[number]) =>
    digestOf(Buffer.concat([...contents.slices(kind, offset, sizeBytes)]));
  const [forwards, backwards] = [new Contents(spec.seed), new Contents(spec.seed)];
  const expected = files().map((file) => bytesOf(forwards, file));
  expect(
    files()
      .toReversed()
      .map((file) => bytesOf(backwards, file))
      .toReversed(),
  ).toEqual(expected);
});

test('context and layout hold the same tars, which tar reads', async () => {
  await using directory = await temporaryDirectory();
  const contextDir = join(directory.path, 'context');
  const layoutDir = join(directory.path, 'layout');
  const image = await writeImage(spec, {
    contextDir,
    layout: { directory: layoutDir, codec: 'gzip' },
    jobs: 2,
    signal,
  });
  const layout = await OciLayout.open(layoutDir, { signal });
  expect((await layout.verify({ signal })).problems).toEqual([]);
  const manifest = parseManifest(readFileSync(layout.blobPath(image.manifest!.digest)));
  const { rootfs } = parseImageConfig(readFileSync(layout.blobPath(manifest.config.digest)));
  let [plainBytes, entries] = [0, 0];
  for (const [at, { digest }] of manifest.layers.entries()) {
    const tar = readFileSync(join(contextDir, `layer${at}.tar`));
    expect(gunzipSync(readFileSync(layout.blobPath(digest))).equals(tar)).toBe(true);
    expect(rootfs.diff_ids[at]).toBe(digestOf(tar));
    entries +=
      execFileSync('tar', ['-tf', join(contextDir, `layer${at}.tar`)], { encoding: 'utf8' }).split('\n').length - 1;
    plainBytes += tar.length;
  }
  expect({ plainBytes, entries }).toEqual({ plainBytes: image.plainBytes, entries: image.entries });
  expect(readFileSync(join(contextDir, 'Dockerfile'), 'utf8')).toContain('ADD layer2.tar /');
});

test('a stopped generation leaves nothing that looks finished', async () => {
  await using directory = await temporaryDirectory();
  const layoutDir = join(directory.path, 'layout');
  const stop = new AbortController();
  const writing = writeImage(
    { ...spec, sizeBytes: 200_000_000 },
    { layout: { directory: layoutDir, codec: 'gzip' }, jobs: 2, signal: stop.signal },
  );
  setTimeout(() => {
    stop.abort();
  }, 100);
  await expect(writing).rejects.toThrow();
  const blobs = join(layoutDir, 'blobs', 'sha256');
  expect(existsSync(blobs) ? readdirSync(blobs) : []).toEqual([]);
});
