import fc from 'fast-check';
import { expect, test } from 'vitest';
import { byteStringOfBytes, byteStringOfText, bytesOf, displayOf } from '../../../src/archive/index.ts';

test('any bytes come back as they were', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      expect([...bytesOf(byteStringOfBytes(bytes))]).toEqual([...bytes]);
    }),
  );
});

test('strings compare as their bytes do', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
      const [left, right] = [byteStringOfBytes(a), byteStringOfBytes(b)];
      expect(Math.sign(Buffer.compare(a, b))).toBe(left < right ? -1 : left > right ? 1 : 0);
    }),
  );
});

test('different bytes have different display forms', () => {
  const bytes = fc.uint8Array({ maxLength: 6 });
  fc.assert(
    fc.property(bytes, bytes, (a, b) => {
      fc.pre(Buffer.compare(a, b) !== 0);
      expect(displayOf(byteStringOfBytes(a))).not.toBe(displayOf(byteStringOfBytes(b)));
    }),
    { numRuns: 2000 },
  );
});

test.for<[string, Buffer, string]>([
  ['text stays text', Buffer.from('größe 日本'), 'größe 日本'],
  ['a byte that is no UTF-8 is named', Buffer.from('caf\xe9', 'latin1'), 'caf\\xe9'],
  ['a backslash is doubled', Buffer.from('a\\b'), 'a\\\\b'],
  ['controls cannot reach a terminal', Buffer.from('a\n\u001b[2J'), 'a\\x0a\\x1b[2J'],
  ['direction marks cannot turn a name round', Buffer.from('a\u202eb'), 'a\\xe2\\x80\\xaeb'],
])('%s', ([, bytes, shown]) => {
  expect(displayOf(byteStringOfBytes(bytes))).toBe(shown);
});

test('a text is its UTF-8 bytes', () => {
  expect(bytesOf(byteStringOfText('ü'))).toEqual(Buffer.from([0xc3, 0xbc]));
});
