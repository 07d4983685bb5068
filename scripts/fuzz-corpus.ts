// Writes the seeds of the fuzz targets, test/fuzz-corpus/<target>/seed-*, from golden files, fixtures and generated layers.
// What a fuzzer found beyond them and is worth keeping lies beside them under its digest (scripts/soak.sh).
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import {
  overlayLayer,
  paxEntry,
  randomLayers,
  sparse00,
  sparse01,
  sparse10,
  sparseOldGnu,
  tarStream,
} from '../test/support/corpus/index.ts';

const root = join(import.meta.dirname, '..');
const corpus = join(root, 'test/fuzz-corpus');
const golden = (name: string): Buffer => readFileSync(join(root, 'test/golden/archive', name));

function put(target: string, seeds: Readonly<Record<string, Uint8Array>>): void {
  mkdirSync(join(corpus, target), { recursive: true });
  for (const [name, bytes] of Object.entries(seeds)) writeFileSync(join(corpus, target, `seed-${name}`), bytes);
}

/** The form in which targets take several parts: each behind its length. */
function parts(...all: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    all.flatMap((part) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(part.length);
      return [length, part];
    }),
  );
}

const sparse = {
  name: 'sparse',
  sizeBytes: 9000,
  stretches: [
    [512, Buffer.alloc(512, 1)],
    [4096, Buffer.alloc(100, 2)],
  ] as const,
};
const file = (name: string, data = 'data') => ({ name, type: '0', data });
const tars = {
  plain: tarStream([
    { name: 'd/', type: '5', mode: 0o755 },
    file('d/file'),
    { name: 'd/link', type: '2', linkName: '../x' },
    { name: 'd/hard', type: '1', linkName: 'd/file' },
    { name: 'd/device', type: '3', device: [1, 3] },
    { name: 'd/fifo', type: '6' },
    file('d/.wh.gone', ''),
  ]),
  pax: tarStream([
    {
      ...file('n'.repeat(120)),
      xattrs: { 'user.a': 'b', 'security.capability': Buffer.alloc(20, 1) },
      mtimeNs: 1_500_000_001n,
    },
    paxEntry([['path', 'renamed']]),
    file('x'),
  ]),
  gnu: tarStream([
    { ...file('g'.repeat(300)), format: 'gnu', uid: 2 ** 31 },
    { ...file('v7'), format: 'v7' },
  ]),
  'sparse-00': tarStream([sparse00(sparse)]),
  'sparse-01': tarStream([sparse01(sparse)]),
  'sparse-10': tarStream([sparse10(sparse)]),
  'sparse-gnu': tarStream([sparseOldGnu(sparse)]),
  overlay: overlayLayer(),
  random: randomLayers(7)[0] ?? Buffer.alloc(0),
};
put('tar', Object.fromEntries(Object.entries(tars).filter(([, tar]) => tar.length < 20_000)));

const small = tars.plain.subarray(0, 2048);
const skippable = Buffer.from('502a4d180300000061626328b52ffd', 'hex').subarray(0, 11);
const members = [small.subarray(0, 700), small.subarray(700)];
put('gzip', {
  one: gzipSync(small),
  members: Buffer.concat(members.map((part) => gzipSync(part))),
  stored: gzipSync(small.subarray(0, 300), { level: 0 }),
  padded: Buffer.concat([gzipSync(small), Buffer.alloc(20)]),
  empty: gzipSync(''),
});
put('zstd', {
  one: zstdCompressSync(small),
  frames: Buffer.concat(members.map((part) => zstdCompressSync(part))),
  skippable: Buffer.concat([skippable, zstdCompressSync(small), skippable]),
  // a single segment of five bytes whose only block is empty
  lying: Buffer.from('28b52ffd2005010000', 'hex'),
  repeated: zstdCompressSync(Buffer.alloc(70_000)),
});

const archive = golden('small.clip');
put('footer', { small: archive.subarray(-4096) });
put('tables', { small: golden('small.layers') });
put('erofs', { small: golden('small.erofs') });
put('clip', {
  small: golden('small.clip-part'),
  ...Object.fromEntries(
    ['sample', 'two'].map((name) => [name, readFileSync(join(root, `test/fixtures/clip/${name}/image.clip`))]),
  ),
});
put('archive', {
  whole: archive,
  parts: parts(...['clip-part', 'config', 'layers', 'erofs', 'extra'].map((name) => golden(`small.${name}`))),
});

/** The golden index is kept by its plain parts: a name, then lines of hex. */
const index = Object.fromEntries(
  readFileSync(join(root, 'native-tools/crates/layer-index/tests/golden/index-v1.hex'), 'utf8')
    .trim()
    .split(/\n(?=entries|tail)/)
    .map((text) => [
      text.slice(0, text.indexOf('\n')),
      Buffer.from(text.replace(/^.*\n/, '').replaceAll('\n', ''), 'hex'),
    ]),
);
put('layer-index', { parts: Buffer.concat([parts(index['tail']!), index['entries']!]) });

/** A byte of codec, a count, stored and plain length of each span, the blob. */
function spans(codec: number, stored: readonly Buffer[], plain: readonly Buffer[]): Buffer {
  const rows = Buffer.alloc(4 * stored.length);
  stored.forEach((part, at) => {
    rows.writeUInt16LE(part.length, 4 * at);
    rows.writeUInt16LE(plain[at]?.length ?? 0, 4 * at + 2);
  });
  return Buffer.concat([Buffer.from([codec, stored.length]), rows, ...stored]);
}
put('span', {
  plain: spans(0, members, members),
  gzip: spans(
    1,
    members.map((part) => gzipSync(part)),
    members,
  ),
  zstd: spans(
    2,
    members.map((part) => zstdCompressSync(part)),
    members,
  ),
});
