import { readFile } from 'node:fs/promises';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, expect, describe as group, test } from 'vitest';
import type { Limits } from '../../../src/config/index.ts';
import {
  type GeneratedStack,
  overlayLayer,
  paxEntry,
  randomLayers,
  sparse10,
  sparseOldGnu,
  type TarEntry,
  tarEntry,
  tarStream,
} from '../../support/corpus/index.ts';
import { writeStack } from '../../support/engines.ts';
import { requireAgreement } from '../../support/engines-agree.ts';
import { awkwardTars, layoutOf, packLayers } from '../../support/native/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const stack = new AsyncDisposableStack();
let dir = '';
beforeAll(async () => {
  dir = stack.use(await temporaryDirectory('portable-awkward')).path;
});
afterAll(() => stack.disposeAsync());

const ENCODE = {
  '': (tar: Buffer) => tar,
  '+gzip': (tar: Buffer) => gzipSync(tar),
  '+zstd': (tar: Buffer) => zstdCompressSync(tar),
} as const;

function stackOf(tars: readonly Buffer[], suffix: keyof typeof ENCODE = ''): GeneratedStack {
  const mediaType = `application/vnd.oci.image.layer.v1.tar${suffix}`;
  const layers = tars.map((tar) => ({ tar, mediaType, blob: ENCODE[suffix](tar) }));
  return { layers, config: { created: '2026-01-01T00:00:00Z' }, annotations: undefined, chunkBytes: 262_144 };
}

async function outcomeOf(tars: readonly Buffer[], limits: Partial<Limits> = {}): Promise<string> {
  return requireAgreement(await writeStack(dir, stackOf(tars), limits));
}

group('both engines', () => {
  test.for(['', '+gzip', '+zstd'] as const)(
    'make the same parts of the awkward image, layers as tar%s',
    async (suffix) => {
      const { gnu, plain } = await awkwardTars();
      const files = await writeStack(dir, stackOf([...plain, ...gnu, overlayLayer()], suffix));
      expect(await requireAgreement(files)).toBe('archive');
    },
  );

  test.for(['zstd', 'gzip'] as const)(
    'make the same parts of it as it was packed: %s, a span a chunk',
    async (codec) => {
      const { gnu, plain } = await awkwardTars();
      const tars = [...plain, ...gnu];
      const packed = await packLayers((await layoutOf(dir, tars)).layers, { dir, codec });
      const blobs = await Promise.all(packed.map(({ blob }) => readFile(blob)));
      const layers = tars.map((tar, at) => ({ tar, blob: blobs[at]!, mediaType: packed[at]!.mediaType }));
      expect(await requireAgreement(await writeStack(dir, { ...stackOf([]), layers }))).toBe('archive');
    },
  );

  test('merge the random layers of the corpus alike', async () => {
    for (let seed = 1; seed <= 60; seed += 1) await outcomeOf(randomLayers(seed));
  });
});

const file = (name: string, more: Partial<TarEntry> = {}): TarEntry => ({ name, type: '0', data: 'x', ...more });
const stretches = Array.from({ length: 30 }, (_, at) => [at * 2048, Buffer.alloc(100, at)] as const);
const odd = { name: 'odd', sizeBytes: 70_000, stretches };

group('a limit is the same coded error of both engines', () => {
  test.for<[name: string, code: string, tar: Buffer, limits?: Partial<Limits>]>([
    ['a path of 4096 bytes', 'LIMIT_EXCEEDED', tarStream([file(`${'d/'.repeat(2047)}xx`)])],
    ['a name of 256 bytes', 'LAYER_PATH_INVALID', tarStream([file('n'.repeat(256))])],
    ['a target of 4096 bytes', 'LIMIT_EXCEEDED', tarStream([{ name: 'l', type: '2', linkName: 't'.repeat(4096) }])],
    ['no target', 'LAYER_PATH_INVALID', tarStream([{ name: 'l', type: '2' }])],
    [
      'a name of 300 bytes behind a link',
      'LIMIT_EXCEEDED',
      tarStream([{ name: 'l', type: '2', linkName: 'n'.repeat(300) }, file('l/x')]),
    ],
    [
      'a PAX header of 1 MiB',
      'LIMIT_EXCEEDED',
      tarStream([file('f', { records: [['comment', 'c'.repeat(2 ** 20)]] })]),
    ],
    ['a GNU long name of 2 MiB', 'LIMIT_EXCEEDED', tarStream([file('n'.repeat(2 ** 21), { format: 'gnu' })])],
    [
      'an attribute of 64 KiB',
      'LIMIT_EXCEEDED',
      tarStream([file('f', { xattrs: { 'user.a': Buffer.alloc(65_536, 1) } })]),
    ],
    [
      'attributes of 180 KiB',
      'LIMIT_EXCEEDED',
      tarStream([
        file('f', {
          xattrs: Object.fromEntries(['a', 'b', 'c'].map((key) => [`user.${key}`, Buffer.alloc(60_000, 1)])),
        }),
      ]),
    ],
    [
      'three entries where two are allowed',
      'LIMIT_EXCEEDED',
      tarStream([file('a'), file('b'), file('c')]),
      { maxEntries: 2 },
    ],
    ['a sparse map of 30 stretches', 'LIMIT_EXCEEDED', tarStream([sparse10(odd)]), { maxSparseExtents: 29 }],
    ['the same in GNU blocks', 'LIMIT_EXCEEDED', tarStream([sparseOldGnu(odd)]), { maxSparseExtents: 29 }],
    ['a sparse map of two GNU blocks', 'LIMIT_EXCEEDED', tarStream([sparseOldGnu(odd)]), { maxHeaderBytes: 1024 }],
    ['sparse data off block boundaries', 'LIMIT_EXCEEDED', tarStream([sparse10(odd)]), { maxRelocatedBytes: 2999 }],
    ['as much of it as is allowed', 'archive', tarStream([sparse10(odd)]), { maxRelocatedBytes: 3000 }],
    ['a file of 1 KiB', 'LIMIT_EXCEEDED', tarStream([file('f', { data: Buffer.alloc(1025) })]), { maxFileBytes: 1024 }],
    [
      'a layer of 4 KiB',
      'LIMIT_EXCEEDED',
      tarStream([file('f', { data: Buffer.alloc(4096) })]),
      { maxPlainBytes: 4096 },
    ],
    ['a link in a ring', 'LAYER_PATH_INVALID', tarStream([{ name: 'l', type: '2', linkName: 'l' }, file('l/x')])],
    ['another type for the root', 'LAYER_PATH_INVALID', tarStream([file('./')])],
    ['a header without an entry', 'LAYER_CORRUPT', tarStream([paxEntry([['path', 'x']])])],
    ['a header at the very end', 'LAYER_TRUNCATED', paxEntry([['path', 'x']])],
    ['an owner of 33 bits', 'LAYER_CORRUPT', tarStream([file('f', { records: [['uid', '4294967296']] })])],
    [
      'an entry cut in its data',
      'LAYER_TRUNCATED',
      tarEntry(file('f', { data: Buffer.alloc(1000) })).subarray(0, 1000),
    ],
    ['an entry cut in its padding', 'archive', tarEntry(file('f', { data: Buffer.alloc(1000) })).subarray(0, 1512)],
  ])('%s: %s', async ([, code, tar, limits]) => {
    expect(await outcomeOf([tar], limits)).toBe(code);
  });
});
