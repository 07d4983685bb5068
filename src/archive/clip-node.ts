import type { ByteString } from './byte-string.ts';
import { corrupt } from './failure.ts';
import {
  decodeGob,
  gobInt,
  gobLatin1,
  gobOptional,
  gobSlice,
  gobStruct,
  gobUint,
  gobUint32,
  gobUint64,
  gobWrapped,
  type Shape,
} from './gob/index.ts';

export type ClipNodeType = 'dir' | 'file' | 'symlink';

/** Attributes as the archive stores them. */
export interface ClipAttributes {
  /** All 64 bits are used. Nodes of one file share it. */
  readonly inode: bigint;
  readonly sizeBytes: number;
  readonly blocks: number;
  /** Seconds since 1970, negative before; Go's zero time is -62135596800. */
  readonly atimeSeconds: number;
  readonly mtimeSeconds: number;
  readonly ctimeSeconds: number;
  readonly atimeNanos: number;
  readonly mtimeNanos: number;
  readonly ctimeNanos: number;
  /** Type and permission bits as in `st_mode`. */
  readonly mode: number;
  readonly links: number;
  readonly owner: { readonly uid: number; readonly gid: number };
  readonly deviceNumber: number;
  readonly blockBytes: number;
}

/** Where the bytes of a file are: `lengthBytes` from `offset` of the plain tar stream of a layer. */
export interface RemoteData {
  /** Digest of the blob as the registry stores it. */
  readonly layerDigest: string;
  readonly offset: number;
  readonly lengthBytes: number;
}

/** One entry of the node list of a CLIP archive. */
export interface ClipNode {
  readonly type: ClipNodeType;
  /** Absolute; `/` is the root. */
  readonly path: ByteString;
  readonly attributes: ClipAttributes;
  /** Of a symbolic link, verbatim. */
  readonly target: ByteString;
  /** V1: sha256 of the file in hex. */
  readonly contentHash: string;
  /** V1: where the bytes are in the data archive. */
  readonly dataOffset: number;
  readonly dataBytes: number;
  readonly remote: RemoteData | undefined;
}

const gobByteString = gobLatin1 as Shape<ByteString>;

/** Strings that repeat, such as layer digests, are kept once. */
function gobInterned<T extends string>(shape: Shape<T>): Shape<T> {
  return {
    zero: shape.zero,
    bind(types, id) {
      const read = shape.bind(types, id);
      const seen = new Map<T, T>();
      return (reader) => {
        const text = read(reader);
        const known = seen.get(text);
        if (known !== undefined) return known;
        seen.set(text, text);
        return text;
      };
    },
  };
}

const attributesShape = gobStruct({
  inode: ['Ino', gobUint64],
  sizeBytes: ['Size', gobUint],
  blocks: ['Blocks', gobUint],
  atimeSeconds: ['Atime', gobWrapped],
  mtimeSeconds: ['Mtime', gobWrapped],
  ctimeSeconds: ['Ctime', gobWrapped],
  atimeNanos: ['Atimensec', gobUint32],
  mtimeNanos: ['Mtimensec', gobUint32],
  ctimeNanos: ['Ctimensec', gobUint32],
  mode: ['Mode', gobUint32],
  links: ['Nlink', gobUint32],
  owner: ['Owner', gobStruct({ uid: ['Uid', gobUint32], gid: ['Gid', gobUint32] })],
  deviceNumber: ['Rdev', gobUint32],
  blockBytes: ['Blksize', gobUint32],
});

const nodesShape = gobSlice(
  gobStruct({
    type: ['NodeType', gobInterned(gobLatin1)],
    path: ['Path', gobByteString],
    attributes: ['Attr', attributesShape],
    target: ['Target', gobByteString],
    contentHash: ['ContentHash', gobLatin1],
    dataOffset: ['DataPos', gobInt],
    dataBytes: ['DataLen', gobInt],
    remote: [
      'Remote',
      gobOptional(
        gobStruct({
          layerDigest: ['LayerDigest', gobInterned(gobLatin1)],
          offset: ['UOffset', gobInt],
          lengthBytes: ['ULength', gobInt],
        }),
      ),
    ],
  }),
);

/** The node list in the order it is stored. Throws ARCHIVE_CORRUPT. */
export function decodeClipNodes(bytes: Buffer): readonly ClipNode[] {
  const nodes = decodeGob(bytes, nodesShape);
  for (const { type, path, dataOffset, dataBytes, remote } of nodes) {
    if (type !== 'dir' && type !== 'file' && type !== 'symlink') throw corrupt(`node type ${JSON.stringify(type)}`);
    if (!path.startsWith('/')) throw corrupt(`path ${JSON.stringify(path)} is not absolute`);
    if (dataOffset < 0 || dataBytes < 0 || (remote !== undefined && (remote.offset < 0 || remote.lengthBytes < 0))) {
      throw corrupt(`the data of ${JSON.stringify(path)} has a negative place`);
    }
  }
  return nodes as readonly ClipNode[];
}
