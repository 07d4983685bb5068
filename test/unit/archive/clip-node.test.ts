import { expect, test } from 'vitest';
import { decodeClipNodes } from '../../../src/archive/clip-node.ts';
import { defineSlice, defineStruct, int, list, message, STRING, struct, text, UINT, uint } from './gob-stream.ts';

const PROLOGUE = Buffer.concat([
  defineSlice(68, 64),
  defineStruct(64, { NodeType: STRING, Path: STRING, Attr: 65, Target: STRING, Remote: 67 }),
  defineStruct(65, { Ino: UINT, Mtime: UINT, Mode: UINT, Owner: 66 }),
  defineStruct(66, { Uid: UINT, Gid: UINT }),
  defineStruct(67, { LayerDigest: STRING, UOffset: 2, ULength: 2 }),
]);

const stream = (nodes: readonly Buffer[]): Buffer =>
  Buffer.concat([PROLOGUE, message(int(68), Buffer.from([0]), list(nodes))]);
const node = (type: string, path: string | Buffer, attributes = struct([]), remote?: Buffer): Buffer =>
  struct([text(type), text(path), attributes, undefined, remote]);

test('inode numbers use all 64 bits and seconds are signed', () => {
  const attributes = struct([
    uint(2n ** 64n - 1n),
    uint(BigInt.asUintN(64, -62_135_596_800n)),
    uint(0o104755),
    struct([uint(4_294_967_295n)]),
  ]);
  const [decoded] = decodeClipNodes(stream([node('file', '/f', attributes)]));
  expect(decoded!.attributes).toMatchObject({
    inode: 2n ** 64n - 1n,
    mtimeSeconds: -62_135_596_800,
    mode: 0o104755,
    owner: { uid: 4_294_967_295, gid: 0 },
  });
});

test('a path keeps bytes that are no UTF-8', () => {
  expect(decodeClipNodes(stream([node('file', Buffer.from('/caf\xe9', 'latin1'))]))[0]!.path).toBe('/caf\u00e9');
});

test.for<[string, Buffer]>([
  ['an unknown node type', node('socket', '/s')],
  ['no node type', struct([undefined, text('/s')])],
  ['a relative path', node('file', 'f')],
  ['no path', struct([text('file')])],
  ['a negative offset', node('file', '/f', struct([]), struct([text('sha256:x'), int(-1)]))],
  ['a mode beyond 32 bits', node('file', '/f', struct([undefined, undefined, uint(2n ** 32n)]))],
])('%s is ARCHIVE_CORRUPT', ([, bad]) => {
  expect(() => decodeClipNodes(stream([bad]))).toThrow(expect.objectContaining({ code: 'ARCHIVE_CORRUPT' }));
});

test('a layer digest that many nodes share is one string', () => {
  const digest = `sha256:${'a'.repeat(64)}`;
  const nodes = decodeClipNodes(
    stream(
      Array.from({ length: 1000 }, (_, at) =>
        node('file', `/${at}`, struct([]), struct([text(digest), int(at), int(1)])),
      ),
    ),
  );
  expect(nodes).toHaveLength(1000);
  expect(new Set(nodes.map(({ remote }) => remote!.layerDigest))).toEqual(new Set([digest]));
});
