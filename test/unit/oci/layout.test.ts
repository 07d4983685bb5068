import { randomBytes } from 'node:crypto';
import { link, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/digest/index.ts';
import { ABSENT_ANNOTATION, canonicalJson, type Descriptor, MEDIA_TYPES, OciLayout } from '../../../src/oci/index.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

const signal = new AbortController().signal;
let directory: TemporaryDirectory;
let layout: OciLayout;

beforeEach(async () => {
  directory = await temporaryDirectory('layout');
  layout = await OciLayout.open(join(directory.path, 'layout'), { create: true, signal });
});
afterEach(async () => {
  await directory[Symbol.asyncDispose]();
});

const expectedOf = (bytes: Uint8Array) => ({ digest: digestOf(bytes), sizeBytes: bytes.length });

async function add(mediaType: string, bytes: Uint8Array, annotations?: Record<string, string>): Promise<Descriptor> {
  await layout.addBlob(bytes, expectedOf(bytes), { signal });
  return {
    mediaType,
    digest: digestOf(bytes),
    size: bytes.length,
    ...(annotations === undefined ? {} : { annotations }),
  };
}

/** An image of random layers, its manifest not tagged yet. */
async function addImage(layers: number, annotations?: Record<string, string>) {
  const blobs: Descriptor[] = [];
  for (let at = 0; at < layers; at++) blobs.push(await add(MEDIA_TYPES.ociLayer, randomBytes(1000), annotations));
  const config = await add(MEDIA_TYPES.ociConfig, randomBytes(100));
  const bytes = canonicalJson({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers: blobs });
  const manifest = await layout.putManifest(bytes, MEDIA_TYPES.ociManifest, { signal });
  return { manifest, config, layers: blobs };
}

describe('opening', () => {
  test('a new layout is empty and valid, and opens again', async () => {
    expect(JSON.parse(await readFile(join(layout.directory, 'oci-layout'), 'utf8'))).toEqual({
      imageLayoutVersion: '1.0.0',
    });
    const again = await OciLayout.open(layout.directory, { create: true, signal });
    expect(await again.index()).toEqual({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [] });
    expect(await again.verify({ signal })).toEqual({ blobs: 0, bytes: 0, absent: [], problems: [] });
  });

  test('opening to create does not touch what is there', async () => {
    const { manifest } = await addImage(1);
    await layout.setTag('latest', manifest, { signal });
    const again = await OciLayout.open(layout.directory, { create: true, signal });
    expect((await again.resolve()).digest).toBe(manifest.digest);
  });

  test('many can create it at once', async () => {
    const path = join(directory.path, 'race');
    await Promise.all(Array.from({ length: 8 }, () => OciLayout.open(path, { create: true, signal })));
    expect((await (await OciLayout.open(path, { signal })).index()).manifests).toEqual([]);
  });

  test('a folder that is no layout is named as such', async () => {
    await expect(OciLayout.open(join(directory.path, 'none'), { signal })).rejects.toMatchObject({
      code: 'LAYOUT_NOT_FOUND',
    });
    await expect(OciLayout.open(directory.path, { signal })).rejects.toMatchObject({ code: 'LAYOUT_NOT_FOUND' });
    await writeFile(join(directory.path, 'file'), '');
    await expect(OciLayout.open(join(directory.path, 'file'), { signal })).rejects.toMatchObject({
      code: 'LAYOUT_NOT_FOUND',
    });
  });

  test.for([
    ['oci-layout', '{"imageLayoutVersion":"2.0.0"}'],
    ['oci-layout', '{}'],
    ['oci-layout', 'x'],
    ['index.json', '{}'],
    ['index.json', ''],
  ] as const)('%s with %j is LAYOUT_INVALID', async ([name, content]) => {
    await writeFile(join(layout.directory, name), content);
    await expect(OciLayout.open(layout.directory, { signal })).rejects.toMatchObject({ code: 'LAYOUT_INVALID' });
  });
});

describe('blobs', () => {
  test('a blob is there after it was added, from bytes or a stream', async () => {
    const bytes = randomBytes(200_000);
    const descriptor = { digest: digestOf(bytes), size: bytes.length };
    expect(await layout.hasBlob(descriptor)).toBe(false);
    await layout.addBlob(Readable.from([bytes.subarray(0, 7), bytes.subarray(7)]), expectedOf(bytes), { signal });
    expect(await layout.hasBlob(descriptor)).toBe(true);
    expect(await layout.hasBlob({ ...descriptor, size: 5 })).toBe(false);
    expect(Buffer.from(await layout.readBlob(descriptor, { maxBytes: 1 << 20, signal })).equals(bytes)).toBe(true);
  });

  test('wrong bytes leave nothing behind', async () => {
    const wanted = expectedOf(Buffer.from('wanted'));
    for (const content of ['wrong!', 'want', 'wanted and more']) {
      await expect(layout.addBlob(Buffer.from(content), wanted, { signal })).rejects.toMatchObject({
        code: 'BLOB_MISMATCH',
      });
    }
    expect(await filesOf()).toEqual([]);
  });

  test('an abort leaves nothing behind and is rethrown', async () => {
    const reason = new Error('enough');
    const abort = new AbortController();
    const endless = new Readable({
      read() {
        this.push(Buffer.alloc(1000));
        abort.abort(reason);
      },
    });
    await expect(layout.addBlob(endless, expectedOf(Buffer.alloc(1e9)), { signal: abort.signal })).rejects.toBe(reason);
    expect(await filesOf()).toEqual([]);
  });

  test('a finished file is moved in, its size checked', async () => {
    const bytes = Buffer.from('packed');
    const path = await layout.temporaryPath('packed');
    await writeFile(path, bytes, { mode: 0o600 });
    await expect(layout.adoptFile(path, { ...expectedOf(bytes), sizeBytes: 5 })).rejects.toMatchObject({
      code: 'BLOB_MISMATCH',
    });
    await layout.adoptFile(path, expectedOf(bytes));
    expect(await readFile(layout.blobPath(digestOf(bytes)), 'utf8')).toBe('packed');
    expect(await filesOf()).toHaveLength(1);
  });

  test('a file is linked in, its bytes shared', async () => {
    const bytes = randomBytes(100);
    const path = join(directory.path, 'content');
    await writeFile(path, bytes);
    expect(await layout.linkFile(path, expectedOf(bytes))).toBe(true);
    const linked = await stat(layout.blobPath(digestOf(bytes)));
    expect(linked.ino).toBe((await stat(path)).ino);
    // Again, and over a damaged blob of the same name.
    expect(await layout.linkFile(path, expectedOf(bytes))).toBe(true);
    await rm(layout.blobPath(digestOf(bytes)));
    await writeFile(layout.blobPath(digestOf(bytes)), 'damaged');
    expect(await layout.linkFile(path, expectedOf(bytes))).toBe(true);
    expect((await readFile(layout.blobPath(digestOf(bytes)))).equals(bytes)).toBe(true);
    expect(await filesOf()).toHaveLength(1);
  });

  test('what cannot be linked is said, what has another size is an error', async () => {
    const bytes = randomBytes(100);
    expect(await layout.linkFile(join(directory.path, 'none'), expectedOf(bytes))).toBe(false);
    expect(await layout.linkFile('/proc/self/status', { digest: digestOf(bytes), sizeBytes: 0 })).toBe(false);
    await writeFile(join(directory.path, 'short'), 'x');
    await expect(layout.linkFile(join(directory.path, 'short'), expectedOf(bytes))).rejects.toMatchObject({
      code: 'BLOB_MISMATCH',
    });
  });

  test('a damaged or missing blob is not read, a large one not either', async () => {
    const bytes = randomBytes(100);
    const descriptor = await add(MEDIA_TYPES.ociConfig, bytes);
    await expect(layout.readBlob(descriptor, { maxBytes: 99, signal })).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
    });
    await writeFile(layout.blobPath(descriptor.digest), randomBytes(100));
    await expect(layout.readBlob(descriptor, { maxBytes: 100, signal })).rejects.toMatchObject({
      code: 'BLOB_MISMATCH',
    });
    await truncate(layout.blobPath(descriptor.digest), 5);
    await expect(layout.readBlob(descriptor, { maxBytes: 100, signal })).rejects.toMatchObject({
      code: 'BLOB_MISMATCH',
    });
    await rm(layout.blobPath(descriptor.digest));
    await expect(layout.readBlob(descriptor, { maxBytes: 100, signal })).rejects.toMatchObject({
      code: 'BLOB_MISSING',
    });
  });
});

describe('tags', () => {
  test('a name points to one manifest, the last it was given', async () => {
    const [first, second] = [(await addImage(1)).manifest, (await addImage(1)).manifest];
    await layout.setTag('latest', first, { signal });
    await layout.setTag('other', first, { signal });
    await layout.setTag('latest', second, { signal });
    expect((await layout.index()).manifests).toHaveLength(2);
    expect((await layout.resolve()).digest).toBe(second.digest);
    expect((await layout.resolve('other')).digest).toBe(first.digest);
    expect((await layout.resolve(first.digest)).digest).toBe(first.digest);
    await expect(layout.resolve('none')).rejects.toMatchObject({
      code: 'LAYOUT_NOT_FOUND',
      message: expect.stringContaining('other, latest') as string,
    });
  });

  test('an only entry needs no name', async () => {
    await expect(layout.resolve()).rejects.toMatchObject({ code: 'LAYOUT_NOT_FOUND' });
    const { manifest } = await addImage(1);
    await layout.setTag('v1', manifest, { signal });
    expect((await layout.resolve()).digest).toBe(manifest.digest);
  });

  test('tags set at the same time are all kept', async () => {
    const { manifest } = await addImage(1);
    const names = Array.from({ length: 12 }, (_, at) => `v${at}`);
    const others = await Promise.all(names.map(() => OciLayout.open(layout.directory, { signal })));
    await Promise.all(names.map((name, at) => others[at]!.setTag(name, manifest, { signal })));
    expect(
      (await layout.index()).manifests
        .map(({ annotations }) => annotations?.['org.opencontainers.image.ref.name'])
        .toSorted(),
    ).toEqual(names.toSorted());
  });
});

describe('verify', () => {
  test('counts what is right', async () => {
    const { manifest } = await addImage(3);
    await layout.setTag('latest', manifest, { signal });
    await layout.setTag('again', manifest, { signal });
    expect(await layout.verify({ signal })).toEqual({
      blobs: 5,
      bytes: 3100 + manifest.size,
      absent: [],
      problems: [],
    });
  });

  test('an index is followed to its images', async () => {
    const [first, second] = [(await addImage(1)).manifest, (await addImage(1)).manifest];
    const bytes = canonicalJson({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [first, second] });
    await layout.setTag('latest', await layout.putManifest(bytes, MEDIA_TYPES.ociIndex, { signal }), { signal });
    expect(await layout.verify({ signal })).toMatchObject({ blobs: 7, problems: [] });
  });

  test('names what is missing, short or wrong', async () => {
    const { manifest, layers, config } = await addImage(3);
    await layout.setTag('latest', manifest, { signal });
    await rm(layout.blobPath(layers[0]!.digest));
    await truncate(layout.blobPath(layers[1]!.digest), 10);
    await writeFile(layout.blobPath(config.digest), randomBytes(100));
    const { problems, blobs } = await layout.verify({ signal });
    expect(problems.map(({ descriptor, code }) => [descriptor.digest, code]).toSorted()).toEqual(
      [
        [layers[0]!.digest, 'BLOB_MISSING'],
        [layers[1]!.digest, 'BLOB_MISMATCH'],
        [config.digest, 'BLOB_MISMATCH'],
      ].toSorted(),
    );
    expect(blobs).toBe(2);
  });

  test('layers that the registry has may be absent when a descriptor says so, a configuration never by its image', async () => {
    const said = await addImage(2, { [ABSENT_ANNOTATION]: 'registry' });
    const silent = await addImage(2);
    await layout.setTag('said', said.manifest, { signal });
    await layout.setTag('above', { ...silent.manifest, annotations: { [ABSENT_ANNOTATION]: 'registry' } }, { signal });
    for (const { digest } of [said.layers[0]!, silent.layers[1]!]) await rm(layout.blobPath(digest));
    const report = await layout.verify({ signal });
    expect(report.problems).toEqual([]);
    expect(report.absent.map(({ digest }) => digest).toSorted()).toEqual(
      [said.layers[0]!.digest, silent.layers[1]!.digest].toSorted(),
    );
    await rm(layout.blobPath(silent.config.digest));
    expect((await layout.verify({ signal })).problems).toMatchObject([
      { code: 'BLOB_MISSING', descriptor: { digest: silent.config.digest } },
    ]);
  });

  test('a layer that is there is checked even where it may be absent', async () => {
    const { manifest, layers } = await addImage(1, { [ABSENT_ANNOTATION]: 'registry' });
    await layout.setTag('latest', manifest, { signal });
    await writeFile(layout.blobPath(layers[0]!.digest), randomBytes(1000));
    expect((await layout.verify({ signal })).problems).toMatchObject([{ code: 'BLOB_MISMATCH' }]);
  });

  test('a manifest that is missing or no manifest is a problem, not an exception', async () => {
    const { manifest } = await addImage(1);
    await layout.setTag('gone', manifest, { signal });
    await layout.setTag('garbage', await layout.putManifest(Buffer.from('{}'), MEDIA_TYPES.ociManifest, { signal }), {
      signal,
    });
    await rm(layout.blobPath(manifest.digest));
    const { problems } = await layout.verify({ signal });
    expect(problems.map(({ code }) => code).toSorted()).toEqual(['BLOB_MISSING', 'MANIFEST_INVALID']);
  });
});

describe('garbage', () => {
  test('what no tag reaches and what was not finished is removed, the rest stays', async () => {
    const [kept, dropped] = [await addImage(2), await addImage(2)];
    await layout.setTag('latest', dropped.manifest, { signal });
    await layout.setTag('latest', kept.manifest, { signal });
    await writeFile(await layout.temporaryPath('half'), 'half a blob');
    const plan = await layout.gc({ signal, dryRun: true });
    expect(plan.removed).toHaveLength(5);
    expect(await filesOf()).toHaveLength(9);
    expect(await layout.gc({ signal })).toEqual(plan);
    expect(await filesOf()).toHaveLength(4);
    expect((await layout.verify({ signal })).problems).toEqual([]);
    expect(await layout.gc({ signal })).toEqual({ removed: [], bytes: 0 });
  });

  test('nothing is removed while somebody writes', async () => {
    await add(MEDIA_TYPES.ociLayer, randomBytes(10));
    await using _writer = await layout.lock({ signal });
    const other = await OciLayout.open(layout.directory, { signal });
    await expect(other.lock({ signal, waitMs: 0 })).rejects.toMatchObject({ code: 'LAYOUT_LOCKED' });
    await expect(other.gc({ signal: AbortSignal.timeout(300) })).rejects.toMatchObject({ name: 'TimeoutError' });
    expect(await filesOf()).toHaveLength(1);
  });

  test('nothing is removed when a manifest is missing: what it names is not known', async () => {
    const { manifest } = await addImage(2);
    await layout.setTag('latest', manifest, { signal });
    await rm(layout.blobPath(manifest.digest));
    await expect(layout.gc({ signal })).rejects.toMatchObject({ code: 'LAYOUT_INVALID' });
    expect(await filesOf()).toHaveLength(3);
  });

  test('a hard link that is removed leaves the other name', async () => {
    const bytes = randomBytes(50);
    const path = join(directory.path, 'content');
    await writeFile(path, bytes);
    await layout.linkFile(path, expectedOf(bytes));
    await layout.gc({ signal });
    expect((await readFile(path)).equals(bytes)).toBe(true);
  });
});

test('a layout made by another tool is read', async () => {
  const path = join(directory.path, 'foreign');
  await mkdir(join(path, 'blobs/sha256'), { recursive: true });
  const { manifest, config, layers } = await addImage(1);
  for (const { digest } of [manifest, config, ...layers])
    await link(layout.blobPath(digest), join(path, 'blobs/sha256', digest.slice(7)));
  await writeFile(join(path, 'oci-layout'), '{"imageLayoutVersion": "1.0.0"}\n');
  await writeFile(
    join(path, 'index.json'),
    JSON.stringify({
      schemaVersion: 2,
      manifests: [{ ...manifest, annotations: { 'io.containerd.image.name': 'x' } }],
    }),
  );
  const foreign = await OciLayout.open(path, { signal });
  expect((await foreign.resolve()).digest).toBe(manifest.digest);
  expect((await foreign.verify({ signal })).problems).toEqual([]);
  expect((await readdir(path)).toSorted()).toEqual(['blobs', 'index.json', 'oci-layout']);
});

/** Everything below blobs/ and of unfinished writes. */
async function filesOf(): Promise<readonly string[]> {
  const blobs = await readdir(join(layout.directory, 'blobs/sha256'));
  const unfinished = await readdir(join(layout.directory, '.ingest')).catch(() => []);
  return [...blobs, ...unfinished];
}
