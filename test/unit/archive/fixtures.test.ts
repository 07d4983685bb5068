import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, describe as group, test } from 'vitest';
import {
  type Archive,
  bytesOf,
  bytesSource,
  type ClipNode,
  describe,
  nodeTree,
  openArchive,
} from '../../../src/archive/index.ts';
import { WorkerError } from '../../../src/errors/index.ts';

const FIXTURES = join(import.meta.dirname, '../../fixtures/clip');
const { signal } = new AbortController();

interface Expected {
  readonly header: Readonly<Record<string, unknown>>;
  readonly nodes: readonly Readonly<Record<string, unknown>>[];
  readonly storage: Readonly<Record<string, unknown>> | null;
}

/** JSON whose integers keep all their digits: those beyond 2^53 become bigint. */
function parseExact(text: string): Expected {
  return JSON.parse(text, (_key, value: unknown, context?: { source?: string }) =>
    typeof value === 'number' && !Number.isSafeInteger(value) ? BigInt(context?.source ?? '') : value,
  ) as Expected;
}

async function fixture(archive: string, expected: string): Promise<{ archive: Archive; expected: Expected }> {
  return {
    archive: await openArchive(bytesSource(await readFile(join(FIXTURES, archive))), { signal }),
    expected: parseExact(await readFile(join(FIXTURES, expected), 'utf8')),
  };
}

const unsigned = (seconds: number): bigint => BigInt.asUintN(64, BigInt(seconds));
const integer = (value: bigint): number | bigint => (value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value);

/** A node in the form in which the stock reader's listing was kept. */
function asStock({ type, path, attributes, target, contentHash, dataOffset, dataBytes, remote }: ClipNode) {
  return {
    NodeType: type,
    Path: bytesOf(path).toString('utf8'),
    Attr: {
      Ino: integer(attributes.inode),
      Size: attributes.sizeBytes,
      Blocks: attributes.blocks,
      Atime: integer(unsigned(attributes.atimeSeconds)),
      Mtime: integer(unsigned(attributes.mtimeSeconds)),
      Ctime: integer(unsigned(attributes.ctimeSeconds)),
      Atimensec: attributes.atimeNanos,
      Mtimensec: attributes.mtimeNanos,
      Ctimensec: attributes.ctimeNanos,
      Mode: attributes.mode,
      Nlink: attributes.links,
      Uid: attributes.owner.uid,
      Gid: attributes.owner.gid,
      Rdev: attributes.deviceNumber,
      Blksize: attributes.blockBytes,
      Padding: 0,
    },
    Target: bytesOf(target).toString('utf8'),
    ContentHash: contentHash,
    DataPos: dataOffset,
    DataLen: dataBytes,
    Remote:
      remote === undefined
        ? null
        : { LayerDigest: remote.layerDigest, UOffset: remote.offset, ULength: remote.lengthBytes },
  };
}

group('archives that the stock writer made', () => {
  test.for([
    ['two/image.clip', 'two/expected.json', 'clip'],
    ['sample/image.clip', 'sample/expected.json', 'clip'],
    ['v1/v1.clip', 'v1/expected.json', 'clip-v1'],
  ])('%s is listed as the stock reader lists it', async ([file, listing, kind]) => {
    const { archive, expected } = await fixture(file!, listing!);
    expect(archive.kind).toBe(kind);
    expect((await archive.nodes({ signal })).map(asStock)).toEqual(expected.nodes);
    expect(archive.header).toMatchObject({
      version: expected.header['ClipFileFormatVersion'],
      indexBytes: expected.header['IndexLength'],
      indexOffset: expected.header['IndexPos'],
      storageBytes: expected.header['StorageInfoLength'],
      storageOffset: expected.header['StorageInfoPos'],
    });
    await archive.verify({ signal });
  });

  test('an .rclip has the nodes of its .clip and names the S3 object', async () => {
    const { archive, expected } = await fixture('v1/v1.rclip', 'v1/expected.json');
    expect(archive.kind).toBe('clip-v1');
    expect((await archive.nodes({ signal })).map(asStock)).toEqual(expected.nodes);
    expect(await archive.storage({ signal })).toMatchObject({ type: 's3' });
  });

  test('an image index names registry, layers and what a container needs', async () => {
    const { archive, expected } = await fixture('sample/image.clip', 'sample/expected.json');
    const storage = await archive.storage({ signal });
    const stock = expected.storage!;
    if (storage.type !== 'oci') throw new Error(storage.type);
    expect(storage.reference).toEqual({
      registry: stock['RegistryURL'],
      repository: stock['Repository'],
      digest: stock['Reference'],
    });
    expect(storage.layers).toEqual(stock['Layers']);
    expect(Object.fromEntries(storage.plainHashes)).toEqual(stock['DecompressedHashByLayer']);
    expect(
      Object.fromEntries(
        [...storage.checkpoints].map(([layer, points]) => [
          layer,
          points.map(({ compressed, plain }) => ({ COff: compressed, UOff: plain })),
        ]),
      ),
    ).toEqual(
      Object.fromEntries(
        Object.entries(stock['GzipIdxByLayer'] as Record<string, { Checkpoints: unknown }>).map(
          ([layer, { Checkpoints }]) => [layer, Checkpoints],
        ),
      ),
    );
    const image = stock['ImageMetadata'] as Record<string, unknown>;
    expect(storage.metadata).toMatchObject({
      name: image['Name'],
      digest: image['Digest'],
      architecture: 'amd64',
      os: 'linux',
      env: image['Env'],
      cmd: image['Cmd'],
      workingDir: image['WorkingDir'],
      layers: image['Layers'],
    });
    expect(storage.metadata!.labels).toEqual(new Map([['a', 'b']]));
    expect(Date.parse(storage.metadata!.created!)).toBe(Date.parse(image['Created'] as string));
    expect(storage.metadata!.layersData[0]).toEqual({
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      digest: storage.layers[0],
      sizeBytes: 308,
    });
  });

  test('the parts that need sections say ARCHIVE_NOT_LAZY', async () => {
    const { archive } = await fixture('sample/image.clip', 'sample/expected.json');
    await expect(archive.layers({ signal })).rejects.toMatchObject({ code: 'ARCHIVE_NOT_LAZY' });
    await expect(archive.documents({ signal })).rejects.toMatchObject({ code: 'ARCHIVE_NOT_LAZY' });
    expect(await archive.section('erofs', { signal })).toBeUndefined();
  });

  test('they are described', async () => {
    const { archive } = await fixture('sample/image.clip', 'sample/expected.json');
    const description = await describe(archive, { signal });
    expect(description).toMatchObject({
      kind: 'clip',
      storageRef: expect.stringMatching(/^registry\.example\/fixtures\/sample@sha256:/) as string,
      sections: [],
    });
    expect(description.layers).toHaveLength(2);
    expect(description.counts.entries).toBe(nodeTree(await archive.nodes({ signal })).size);
    const v1 = await describe((await fixture('v1/v1.rclip', 'v1/expected.json')).archive, { signal });
    expect(v1).toMatchObject({ kind: 'clip-v1', storageType: 's3', s3: { bucket: expect.any(String) as string } });
  });
});

const FILES = ['two/image.clip', 'sample/image.clip', 'v1/v1.clip', 'v1/v1.rclip'];

async function outcome(bytes: Buffer): Promise<string | undefined> {
  try {
    const archive = await openArchive(bytesSource(bytes), { signal });
    await archive.verify({ signal });
    return undefined;
  } catch (thrown) {
    if (thrown instanceof WorkerError) return thrown.code;
    throw thrown;
  }
}

group('stock archives that are damaged', () => {
  test.for(FILES)('%s ends with a coded error wherever it is cut', async (file) => {
    const bytes = await readFile(join(FIXTURES, file));
    for (let length = 0; length < bytes.length; length += 1) {
      expect(['ARCHIVE_TRUNCATED', 'ARCHIVE_NOT_CLIP'], `${length}`).toContain(
        await outcome(bytes.subarray(0, length)),
      );
    }
  });

  test.for(FILES)('%s with any byte damaged is read or ends with a coded error', async (file) => {
    const bytes = await readFile(join(FIXTURES, file));
    for (let at = 0; at < bytes.length; at += 1) {
      for (const bit of [at % 8, (at + 3) % 8]) {
        const flipped = Buffer.from(bytes);
        flipped[at]! ^= 1 << bit;
        await outcome(flipped); // throws what is not coded
      }
    }
    expect(await outcome(bytes)).toBeUndefined();
  });

  test('bytes behind the storage info are ignored, as the stock reader does', async () => {
    expect(
      await outcome(Buffer.concat([await readFile(join(FIXTURES, 'two/image.clip')), Buffer.alloc(9000, 7)])),
    ).toBeUndefined();
  });
});
