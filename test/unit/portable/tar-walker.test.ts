import fc from 'fast-check';
import { expect, describe as group, test } from 'vitest';
import type { ByteString } from '../../../src/archive/index.ts';
import { DEFAULT_LIMITS, type Limits } from '../../../src/config/index.ts';
import { cleanPath } from '../../../src/portable/tar/names.ts';
import { decimal, decimalTime, headerNumber } from '../../../src/portable/tar/numbers.ts';
import { parsePax } from '../../../src/portable/tar/pax.ts';
import { reachableInPlace, stretchesOf } from '../../../src/portable/tar/sparse.ts';
import { TarWalker } from '../../../src/portable/tar/tar-walker.ts';
import {
  baseLayer,
  changeLayer,
  content,
  sparseGnuLayer,
  sparsePaxLayer,
  tarStream,
} from '../../support/corpus/index.ts';

const LARGE = 4096;

/** Walks a tar given in pieces, and where in the stream chunks must end. */
function walk(pieces: readonly Buffer[], limits: Partial<Limits> = {}) {
  const walker = new TarWalker({ ...DEFAULT_LIMITS, ...limits }, LARGE);
  let offset = 0;
  const cuts = pieces.flatMap((piece) => {
    const found = walker.feed(piece).map((at) => offset + at);
    offset += piece.length;
    return found;
  });
  walker.end();
  return { entries: walker.entries, cuts, warnings: walker.warnings };
}

test('a tar is the same entries in whatever pieces it comes', () => {
  const tar = tarStream([changeLayer(), sparseGnuLayer(), sparsePaxLayer()].map((layer) => layer.subarray(0, -1024)));
  const whole = walk([tar]);
  expect(whole.entries.length).toBeGreaterThan(80);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 40 }), (lengths) => {
      const pieces: Buffer[] = [];
      for (let [at, turn] = [0, 0]; at < tar.length; turn += 1) {
        const end = at + (lengths[turn % lengths.length] ?? 1);
        pieces.push(tar.subarray(at, end));
        at = end;
      }
      expect(walk(pieces)).toEqual(whole);
    }),
    { numRuns: 30 },
  );
});

test('any end of the stream is an error or between two entries', () => {
  const tar = changeLayer();
  const whole = walk([tar]).entries;
  for (let length = 0; length < tar.length; length += 97) {
    try {
      expect(whole.slice(0, 1000)).toEqual(expect.arrayContaining([...walk([tar.subarray(0, length)]).entries]));
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: 'LAYER_TRUNCATED' });
    }
  }
});

test('the data of a file as large as a chunk starts one', () => {
  const { cuts, entries } = walk([
    tarStream([
      { name: 'small', type: '0', data: content(1, LARGE - 1) },
      { name: 'large', type: '0', data: content(2, LARGE) },
      { name: 'link', type: '1', linkName: 'large' },
    ]),
  ]);
  expect(cuts).toEqual([512 + 4096 + 512]);
  expect(entries[1]?.kind).toEqual({ type: 'file', sizeBytes: LARGE, offset: cuts[0] });
});

test('names, owners and times of the awkward layer are what its headers say', () => {
  const found = new Map(walk([baseLayer()]).entries.map((entry) => [entry.path as string, entry]));
  expect(found.get('names/caf\xe9')?.kind).toMatchObject({ sizeBytes: 6 });
  expect(found.get('times/negative')?.attributes.mtime).toEqual({ seconds: -2n, nanos: 749_999_999 });
  expect(found.get('ids-gnu')?.attributes).toMatchObject({ uid: 2_097_152, gid: 4_294_967_294 });
  expect(found.get('escaped')?.kind.type).toBe('file');
  expect(found.get('ustar-prefix/leaf')?.kind.type).toBe('file');
  expect(found.get('v7-dir')?.kind.type).toBe('directory');
});

group('numbers', () => {
  test.for<[hex: string, value: bigint]>([
    ['3030303036343400', 0o644n],
    ['2020203634342000', 0o644n],
    ['0000000000000000', 0n],
    ['8000000000000005', 5n],
    ['fffffffffffffffe', -2n],
  ])('the field %s is %s', ([hex, value]) => {
    expect(headerNumber(Buffer.from(hex, 'hex'))).toBe(value);
  });
  test.for(['0000648\0', '-000644\0', '12 34\0\0\0'])('%j is none', (text) => {
    expect(() => headerNumber(Buffer.from(text, 'latin1'))).toThrow(
      expect.objectContaining({ code: 'LAYER_CORRUPT' }) as Error,
    );
  });
  test.for<[text: string, value: bigint | undefined]>([
    ['-0012', -12n],
    ['+7', 7n],
    ['9223372036854775807', 2n ** 63n - 1n],
    ['9223372036854775808', undefined],
    ['', undefined],
    ['-', undefined],
    ['1e3', undefined],
    ['7\n', undefined],
  ])('the decimal %j is %s', ([text, value]) => {
    expect(decimal(text)).toBe(value);
  });
  test.for<[text: string, seconds: bigint, nanos: number]>([
    ['1700000000.5', 1_700_000_000n, 500_000_000],
    ['1.1234567899', 1n, 123_456_789],
    ['-0.25', -1n, 750_000_000],
    ['7.', 7n, 0],
  ])('the time %s has nanoseconds', ([text, seconds, nanos]) => {
    expect(decimalTime(text)).toEqual({ seconds, nanos });
  });
});

group('PAX records', () => {
  test('are read by their length', () => {
    expect(parsePax(Buffer.from('12 path=a\nb\n20 SCHILY.xattr.u=\0\n', 'latin1'))).toEqual(
      new Map([
        ['path', 'a\nb'],
        ['SCHILY.xattr.u', '\0'],
      ]),
    );
  });
  test.for([
    'x',
    '4 a\n',
    '99 path=a\n',
    '10 path=a b',
    '7 =abc\n',
    '-9 path=a\n',
    '11 path=a\0\n',
    '27 GNU.sparse.numbytes=512\n',
  ])('%j is damage', (text) => {
    expect(() => parsePax(Buffer.from(text, 'latin1'))).toThrow(
      expect.objectContaining({ code: 'LAYER_CORRUPT' }) as Error,
    );
  });
});

test.for<[raw: string, clean: string]>([
  ['/a//b/', 'a/b'],
  ['./a/./b', 'a/b'],
  ['../../etc/passwd', 'etc/passwd'],
  ['a/../../b', 'b'],
  ['./', ''],
  ['..', ''],
])('the name %s stays inside the root as %j', ([raw, clean]) => {
  expect(cleanPath(raw as ByteString)).toBe(clean);
});

test('a sparse map is in order and inside the file', () => {
  expect(
    stretchesOf(
      [
        [0n, 512n],
        [512n, 512n],
        [4096n, 0n],
      ],
      4096,
    ),
  ).toEqual([{ offset: 0, length: 1024 }]);
  for (const pairs of [
    [[0n, 4097n]],
    [
      [512n, 512n],
      [0n, 512n],
    ],
    [
      [0n, 1024n],
      [512n, 512n],
    ],
    [[-1n, 512n]],
    [[2n ** 63n - 1n, 1n]],
  ] as const)
    expect(() => stretchesOf(pairs, 4096)).toThrow(expect.objectContaining({ code: 'LAYER_CORRUPT' }) as Error);
});

test.for<[pairs: readonly (readonly [number, number])[], sizeBytes: number, isReachable: boolean]>([
  [
    [
      [4096, 512],
      [8192, 100],
    ],
    8292,
    true,
  ],
  [[], 2 ** 44, true],
  [[[4096, 100]], 8192, false],
  [[[100, 512]], 8192, false],
  [[[2 ** 40, 4096]], 2 ** 40 + 8192, false],
])('stretches %j of a file of %d bytes can be pointed at: %s', ([pairs, sizeBytes, isReachable]) => {
  expect(
    reachableInPlace(
      sizeBytes,
      pairs.map(([offset, length]) => ({ offset, length })),
    ),
  ).toBe(isReachable);
});
