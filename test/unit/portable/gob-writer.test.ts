import fc from 'fast-check';
import { expect, test } from 'vitest';
import { GobReader } from '../../../src/archive/gob/reader.ts';
import { goTimeOf } from '../../../src/portable/archive/created.ts';
import { GobWriter } from '../../../src/portable/archive/gob-writer.ts';

function written(write: (out: GobWriter) => void): Buffer {
  const out = new GobWriter();
  write(out);
  return out.finish();
}

test.for<[value: bigint, hex: string]>([
  [0n, '00'],
  [127n, '7f'],
  [128n, 'ff80'],
  [16877n, 'fe41ed'],
  [1_700_000_000n, 'fc6553f100'],
  [2n ** 48n, 'f901000000000000'],
  [BigInt.asUintN(64, -62_135_596_800n), 'f8fffffff1886e0900'],
])('the unsigned number %s has the bytes that Go writes', ([value, hex]) => {
  expect(
    written((out) => {
      out.uint64(value);
    }).toString('hex'),
  ).toBe(hex);
});

test.for<[value: number, hex: string]>([
  [-68, 'ff87'],
  [512, 'fe0400'],
  [2 ** 52, 'f920000000000000'],
  [Number.MIN_SAFE_INTEGER, 'f93ffffffffffffd'],
])('the signed number %d has the bytes that Go writes', ([value, hex]) => {
  expect(
    written((out) => {
      out.int(value);
    }).toString('hex'),
  ).toBe(hex);
});

test('numbers and bytes are read as they were written', () => {
  fc.assert(
    fc.property(
      fc.maxSafeInteger(),
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      fc.uint8Array(),
      (int, wide, bytes) => {
        const out = written((writer) => {
          writer.int(int);
          writer.uint64(wide);
          writer.bytes(bytes);
        });
        const reader = new GobReader(out);
        expect([reader.int(), reader.uint64(), new Uint8Array(reader.bytes()), reader.remaining]).toEqual([
          int,
          wide,
          bytes,
          0,
        ]);
      },
    ),
  );
});

test.for<[text: string, hex: string | undefined]>([
  ['2026-01-01T00:00:00Z', '010000000ee0e7b00000000000ffff'],
  ['2026-01-01T02:00:00.25+02:00', '010000000ee0e7b0000ee6b2800078'],
  ['0001-01-01T00:00:00Z', '01000000000000000000000000ffff'],
  ['2026-13-01T00:00:00Z', undefined],
  ['2026-01-01T00:00:00.Z', undefined],
  ['2026-01-01T00:00:00+2:00', undefined],
  ['', undefined],
])('the time %j is %j in the storage info', ([text, hex]) => {
  expect(goTimeOf(text)?.toString('hex')).toBe(hex);
});
