import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe as group, expect, test } from 'vitest';
import {
  bytesOf,
  type ClipNode,
  bytesSource,
  describe,
  formatStorageReference,
  nodeTree,
  openArchive,
  type Archive,
} from '../../../src/archive/index.ts';

const FIXTURES = join(import.meta.dirname, '../../fixtures/clip');
const { signal } = new AbortController();

interface Expected {
  readonly header: Readonly<Record<string, unknown>>;
  readonly nodes: readonly Readonly<Record<string, unknown>>[];
  readonly storageType: string;
  readonly storageInfo?: Readonly<Record<string, unknown>>;
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
    Remote: remote === undefined ? null : { LayerDigest: remote.layerDigest, UOffset: remote.offset, ULength: remote.lengthBytes },
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
});
