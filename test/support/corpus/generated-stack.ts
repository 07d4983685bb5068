import { crc32, deflateRawSync, gzipSync, constants as zlib, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { content } from './content.ts';
import { type SparseFile, sparse00, sparse01, sparse10, sparseOldGnu } from './sparse.ts';
import { paxEntry, type TarEntry, tarEntry } from './tar-entry.ts';

/** A layer as a registry would have it. */
export interface GeneratedLayer {
  readonly tar: Buffer;
  readonly blob: Buffer;
  readonly mediaType: string;
}

/** An image's layers, bottom first, with the parts of its documents that archives repeat. */
export interface GeneratedStack {
  readonly layers: readonly GeneratedLayer[];
  readonly config: Readonly<Record<string, unknown>>;
  readonly annotations: Readonly<Record<string, string>> | null | undefined;
  readonly chunkBytes: number;
}

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
const NAMES = ['a', 'b', 'c', 'd', 'a.b', 'caf\xe9', '\xff\x01 "', 'n'.repeat(120), '.wh', 'g'.repeat(255)] as const;
const KINDS = [
  ...Array.from({ length: 5 }, () => 'dir' as const),
  ...Array.from({ length: 5 }, () => 'file' as const),
  'below',
  'symlink',
  'symlink',
  'hardlink',
  'hardlink',
  'device',
  'fifo',
  'whiteout',
  'whiteout',
  'opaque',
  'sparse',
  'sparse',
  'global',
  'root',
] as const;

interface EntryPlan {
  readonly kind: (typeof KINDS)[number];
  /** Choices among what is there when the entry's turn comes. */
  readonly pick: readonly [number, number, number];
  readonly spelling: (name: string) => string;
  readonly attributes: Omit<TarEntry, 'name' | 'type'>;
  readonly sizeBytes: number;
  readonly sparse: {
    readonly format: number;
    readonly stretches: readonly (readonly [number, number])[];
    readonly tail: number;
  };
}

const spelling = fc.constantFrom<(name: string) => string>(
  ...Array.from({ length: 6 }, () => (name: string) => name),
  (name) => `./${name}`,
  (name) => `/${name}`,
  (name) => `../../${name}`,
  (name) => `x/../${name}`,
  (name) => `.//${name}`,
);

const xattrs = fc.dictionary(
  fc.constantFrom(
    'user.a',
    'user.b',
    'security.capability',
    'trusted.x',
    'trusted.overlay.opaque',
    'user.overlay.x',
    'security.selinux',
    'odd.name',
    'system.posix_acl_access',
  ),
  fc.uint8Array({ maxLength: 40 }),
  { maxKeys: 3 },
);
const attributes: fc.Arbitrary<EntryPlan['attributes']> = fc.record(
  {
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: fc.oneof(fc.integer({ min: 0, max: 70_000 }), fc.constantFrom(2_097_152, 4_294_967_295)),
    gid: fc.oneof(fc.integer({ min: 0, max: 70_000 }), fc.constantFrom(2_097_152, 4_294_967_294)),
    mtimeNs: fc.oneof(
      fc.bigInt({ min: -(10n ** 18n), max: 4n * 10n ** 18n }),
      fc.constantFrom(0n, -1n, 1_700_000_000_000_000_000n, 8_589_934_592_000_000_001n),
    ),
    format: fc.constantFrom('pax' as const, 'pax' as const, 'gnu' as const),
    xattrs,
  },
  { requiredKeys: [] },
);

const entryPlan: fc.Arbitrary<EntryPlan> = fc.record({
  kind: fc.constantFrom(...KINDS),
  pick: fc.tuple(fc.nat(1000), fc.nat(1000), fc.nat(1000)),
  spelling,
  attributes,
  sizeBytes: fc.oneof(
    fc.integer({ min: 0, max: 700 }),
    fc.integer({ min: 0, max: 20_000 }),
    fc.constantFrom(0, 255, 256, 257, 511, 512, 513, 4095, 4096, 4097, 8192),
  ),
  sparse: fc.record({
    format: fc.nat(3),
    stretches: fc.array(
      fc.oneof(
        fc.tuple(fc.nat(30), fc.nat(20)).map(([gap, length]) => [gap * 512, length * 512] as const),
        fc.tuple(fc.nat(9000), fc.nat(3000)),
      ),
      { maxLength: 30 },
    ),
    tail: fc.constantFrom(0, 1, 100, 512, 100_000),
  }),
});

const codec = fc.record({
  name: fc.constantFrom('plain', 'gzip', 'gzip-members', 'zstd', 'zstd-frames'),
  docker: fc.boolean(),
  pieces: fc.array(fc.integer({ min: 0, max: 9000 }), { minLength: 1, maxLength: 6 }),
  level: fc.integer({ min: 1, max: 9 }),
  extras: fc.nat(7),
});
type CodecPlan = typeof codec extends fc.Arbitrary<infer T> ? T : never;

const text = fc.string({ maxLength: 12 });
const texts = fc.dictionary(text, text, { maxKeys: 3 });
const config = fc.record(
  {
    created: fc.oneof(
      text,
      fc.constantFrom(
        '2026-01-01T00:00:00Z',
        '2025-06-07T08:09:10.123456789+02:00',
        '0001-01-01T00:00:00Z',
        '2026-02-31T23:59:59.5-00:30',
      ),
    ),
    author: text,
    variant: fc.constantFrom('v8', '', null),
    docker_version: text,
    config: fc.record(
      {
        User: text,
        Env: fc.array(text, { maxLength: 3 }),
        Cmd: fc.oneof(fc.array(text, { maxLength: 3 }), fc.constant(null)),
        Entrypoint: fc.array(text, { maxLength: 2 }),
        WorkingDir: text,
        StopSignal: text,
        Labels: fc.oneof(texts, fc.constant(null)),
        ExposedPorts: fc.constantFrom({}, { '80/tcp': {}, '443/tcp': {} }, null),
        Volumes: fc.constantFrom({}, { '/data': {}, '/a': null }),
      },
      { requiredKeys: [] },
    ),
  },
  { requiredKeys: [] },
);

/** Stacks of one to three layers over few names, so that entries meet. Some cannot be merged: engines must agree on that. */
export const generatedStack: fc.Arbitrary<GeneratedStack> = fc
  .record({
    layers: fc.array(fc.record({ entries: fc.array(entryPlan, { maxLength: 14 }), codec, end: fc.nat(4) }), {
      minLength: 1,
      maxLength: 3,
    }),
    /** Whether the last layer is the first one once more, compressed in another way. */
    again: fc.nat(9).map((value) => value === 0),
    config,
    annotations: fc.oneof(fc.constantFrom(null, undefined), texts),
    chunkBytes: fc.constantFrom(4096, 4096, 262_144),
  })
  .map(({ layers, again, config: parts, annotations, chunkBytes }) => {
    const model = new RoughTree();
    const made = layers.map((layer) => {
      model.startLayer();
      const tar = Buffer.concat([...layer.entries.map((plan) => entryOf(plan, model)), endOf(layer.end)]);
      return { tar, ...encode(tar, layer.codec) };
    });
    const [first] = made;
    if (again && first !== undefined) {
      const other = layers.at(-1)!.codec;
      made.push({ tar: first.tar, ...encode(first.tar, { ...other, level: (other.level % 9) + 1 }) });
    }
    return { layers: made, config: parts, annotations, chunkBytes };
  });

function endOf(end: number): Buffer {
  if (end === 0) return Buffer.alloc(0);
  if (end === 1) return Buffer.alloc(512);
  if (end === 2) return Buffer.concat([Buffer.alloc(1024), content(9, 3000)]);
  return Buffer.alloc(1024);
}

function entryOf(
  { attributes: extra, kind, pick: [one, two, three], sizeBytes, spelling: spell, sparse }: EntryPlan,
  model: RoughTree,
): Buffer {
  const at = model.somewhere(one, two, three);
  const name = latin1(spell(at));
  const put = (known: Known, entry: TarEntry): Buffer => {
    model.put(known, at);
    return tarEntry({ ...extra, ...entry });
  };
  switch (kind) {
    case 'dir':
      return put('dir', { name: latin1(`${spell(at)}/`), type: '5' });
    case 'file':
      return put('file', { name, type: ['0', '0', '\0', '7'][three % 4] ?? '0', data: content(one, sizeBytes) });
    case 'below':
      model.put('file', `${at}/b`);
      return tarEntry({ ...extra, name: latin1(`${spell(at)}/b`), type: '0', data: content(two, sizeBytes) });
    case 'symlink': {
      const target =
        ['/', `/${model.pick('dir', two)}`, model.pick('dir', three) || '.', '../../..', 'a/../b', 'nowhere/at/all'][
          one % 6
        ] ?? '.';
      return put('symlink', { name, type: '2', linkName: latin1(target) });
    }
    case 'hardlink': {
      const target = model.pick(two % 5 === 0 ? 'symlink' : 'file', one);
      if (target === '' || target === at) return Buffer.alloc(0);
      return put('file', {
        name,
        type: '1',
        linkName: latin1(spell(target)),
        ...(three % 7 === 0 && { patch: falseSize }),
      });
    }
    case 'device': {
      const device = (
        [
          [1, 3],
          [0, 0],
          [259, 70_000],
          [4095, 1_048_575],
        ] as const
      )[one % 4]!;
      return put('file', { name, type: two % 3 === 0 ? '4' : '3', device });
    }
    case 'fifo':
      return put('file', { name, type: '6' });
    case 'whiteout': {
      const lower = model.lower(one) || at;
      const hidden = lower.endsWith('g'.repeat(252)) ? 'a' : lower; // with its prefix it would be no name
      model.drop(hidden);
      const split = hidden.lastIndexOf('/') + 1;
      return tarEntry({ name: latin1(`${hidden.slice(0, split)}.wh.${hidden.slice(split)}`), type: '0' });
    }
    case 'opaque':
      return tarEntry({ name: latin1(`${model.pick('dir', one)}/.wh..wh..opq`), type: '0' });
    case 'sparse':
      model.put('file', at);
      return sparseEntry(spell(at), sparse, extra);
    case 'global':
      return paxEntry([['comment', 'says nothing about files']], 'g');
    case 'root':
      return tarEntry({ ...extra, name: './', type: '5' });
  }
}

/** Links say a size now and then, and no data follows. */
function falseSize(header: Buffer): void {
  header.write('00000001000\0', 124, 'latin1');
}

function sparseEntry(
  name: string,
  { format, stretches, tail }: EntryPlan['sparse'],
  extra: EntryPlan['attributes'],
): Buffer {
  let end = 0;
  const placed = stretches.map(([gap, length], at) => {
    const offset = end + gap;
    end = offset + length;
    return [offset, content(at, length)] as const;
  });
  // names of sparse files are texts in the corpus
  const file: SparseFile = {
    name: Buffer.from(name, 'latin1')
      .toString('latin1')
      .replace(/[^\x20-\x7e]/g, 'z'),
    sizeBytes: end + tail,
    stretches: placed,
  };
  const { format: _, ...others } = extra;
  return [sparse00, sparse01, sparse10, sparseOldGnu][format % 4]!(file, others);
}

type Known = 'dir' | 'file' | 'symlink';

/** What the layers so far amount to, roughly: only so that entries name what is likely to be there. */
class RoughTree {
  readonly #known = new Map<string, Known>([['', 'dir']]);
  #lower: readonly string[] = [];

  startLayer(): void {
    this.#lower = [...this.#known.keys()].filter((path) => path !== '');
  }

  /** A name in a folder that is there, now and then behind a link or in a folder nobody described. */
  somewhere(one: number, two: number, three: number): string {
    const parent =
      three % 9 === 0 ? this.pick('symlink', one) : three % 11 === 0 ? 'implicit/sub' : this.pick('dir', one);
    const name = NAMES[(two * 7 + three) % (three % 3 === 0 ? NAMES.length : 4)] ?? 'a';
    return parent === '' || parent.split('/').length > 3 ? name : `${parent}/${name}`;
  }

  /** Something of a kind; empty when there is none. */
  pick(kind: Known, choice: number): string {
    const paths = [...this.#known].filter(([, known]) => known === kind).map(([path]) => path);
    return paths[choice % Math.max(paths.length, 1)] ?? '';
  }

  lower(choice: number): string {
    return this.#lower[choice % Math.max(this.#lower.length, 1)] ?? '';
  }

  put(kind: Known, path: string): void {
    if (kind !== 'dir' || this.#known.get(path) !== 'dir') this.drop(path);
    this.#known.set(path, kind);
  }

  drop(path: string): void {
    for (const known of [...this.#known.keys()]) {
      if (known === path || known.startsWith(`${path}/`)) this.#known.delete(known);
    }
  }
}

function encode(
  tar: Buffer,
  { docker, extras, level, name, pieces }: CodecPlan,
): { readonly blob: Buffer; readonly mediaType: string } {
  const type = (suffix: string): string =>
    docker
      ? `application/vnd.docker.image.rootfs.diff.tar${suffix.replace('+', '.')}`
      : `application/vnd.oci.image.layer.v1.tar${suffix}`;
  switch (name) {
    case 'gzip':
      return {
        mediaType: type('+gzip'),
        blob: Buffer.concat([gzipSync(tar, { level }), Buffer.alloc((extras % 3) * 100)]),
      };
    case 'gzip-members':
      return {
        mediaType: type('+gzip'),
        blob: Buffer.concat(split(tar, pieces).map((piece, at) => gzipMember(piece, level, at + extras))),
      };
    case 'zstd':
      return { mediaType: type('+zstd'), blob: zstdFrame(tar, level, extras) };
    case 'zstd-frames': {
      const frames = split(tar, pieces).flatMap((piece, at) => [
        ...((extras + at) % 3 === 0 ? [skippable(at, extras * 5)] : []),
        zstdFrame(piece, level, at),
      ]);
      return {
        mediaType: type('+zstd'),
        blob: Buffer.concat([...frames, ...(extras % 2 === 0 ? [skippable(3, 9)] : [])]),
      };
    }
    default:
      return { mediaType: type(''), blob: tar };
  }
}

/** Pieces of the lengths given, which may be 0, and the rest. */
function split(bytes: Buffer, lengths: readonly number[]): readonly Buffer[] {
  let at = 0;
  const pieces = lengths.map((length) => {
    at += length;
    return bytes.subarray(at - length, at);
  });
  return [...pieces, bytes.subarray(at)];
}

/** A gzip member with the optional fields of its header that `flags` asks for (RFC 1952). */
function gzipMember(plain: Buffer, level: number, flags: number): Buffer {
  const head = Buffer.from([0x1f, 0x8b, 8, 0, 1, 2, 3, 4, 0, 255]);
  const fields = [
    { bit: 4, bytes: Buffer.from([3, 0, 1, 2, 3]) },
    { bit: 8, bytes: Buffer.from('name\0') },
    { bit: 16, bytes: Buffer.from('a comment\0') },
    { bit: 2, bytes: Buffer.from([7, 7]) },
  ].filter((_, at) => ((flags >> at) & 1) === 1);
  head[3] = fields.reduce((bits, { bit }) => bits | bit, 0);
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc32(plain), 0);
  trailer.writeUInt32LE(plain.length, 4);
  return Buffer.concat([head, ...fields.map(({ bytes }) => bytes), deflateRawSync(plain, { level }), trailer]);
}

function zstdFrame(plain: Buffer, level: number, flags: number): Buffer {
  const params = {
    [zlib.ZSTD_c_compressionLevel]: level,
    [zlib.ZSTD_c_checksumFlag]: flags & 1,
    [zlib.ZSTD_c_contentSizeFlag]: (flags >> 1) & 1,
  };
  return zstdCompressSync(plain, { params, ...((flags & 4) !== 0 && { pledgedSrcSize: plain.length }) });
}

function skippable(kind: number, length: number): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(0x184d2a50 + (kind % 16), 0);
  head.writeUInt32LE(length, 4);
  return Buffer.concat([head, content(kind, length)]);
}

const BLOCK = 512;

/**
 * One layer that is cut, has a byte of a tar header changed (its checksum fits again), or a byte of its blob. Alone, because
 * of several layers that cannot be read an engine names whichever it met first.
 */
export function damaged(stacks: fc.Arbitrary<GeneratedStack>): fc.Arbitrary<GeneratedStack> {
  const damage = fc.record({
    kind: fc.constantFrom('header', 'header', 'header', 'cut', 'byte'),
    layer: fc.nat(),
    block: fc.nat(),
    at: fc.oneof(fc.nat(BLOCK - 1), fc.constantFrom(0, 100, 124, 135, 136, 156, 257, 345, 386, 483)),
    value: fc.oneof(fc.nat(255), fc.constantFrom(0, 0x20, 0x30, 0x37, 0x80, 0xff, 0x53, 0x78)),
  });
  return fc.tuple(stacks, damage).map(([stack, { kind, layer, ...where }]) => {
    const good = stack.layers[layer % stack.layers.length]!;
    return { ...stack, layers: [damagedLayer(good, kind, where)] };
  });
}

function damagedLayer(
  layer: GeneratedLayer,
  kind: string,
  { at, block, value }: { readonly at: number; readonly block: number; readonly value: number },
): GeneratedLayer {
  const blob = Buffer.from(layer.blob);
  if (kind === 'cut') return { ...layer, blob: blob.subarray(0, (block * BLOCK + at) % (blob.length + 1)) };
  if (kind === 'byte') {
    if (blob.length > 0) blob[(block * BLOCK + at) % blob.length] = value;
    return { ...layer, blob };
  }
  const tar = Buffer.from(layer.tar);
  const headers = headersOf(tar);
  const header = headers[block % Math.max(headers.length, 1)];
  if (header === undefined) return layer;
  header[at] = value;
  header.fill(' ', 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return { tar, blob: tar, mediaType: 'application/vnd.oci.image.layer.v1.tar' };
}

/** The blocks whose checksum is right. */
function headersOf(tar: Buffer): readonly Buffer[] {
  return Array.from({ length: Math.floor(tar.length / BLOCK) }, (_, at) =>
    tar.subarray(at * BLOCK, (at + 1) * BLOCK),
  ).filter((block) => {
    const stored = Number.parseInt(block.toString('latin1', 148, 154), 8);
    const sum = block.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0);
    return block.some((byte) => byte !== 0) && stored === sum;
  });
}
