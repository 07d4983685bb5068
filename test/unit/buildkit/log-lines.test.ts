import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LogLines } from '../../../src/buildkit/progress/log-lines.ts';

function linesOf(chunks: readonly Buffer[]): readonly string[] {
  const lines = new LogLines();
  return [...chunks.flatMap((chunk) => lines.push(chunk)), ...lines.end()];
}

test.for<[text: string, lines: readonly string[]]>([
  ['one\ntwo\n', ['one', 'two']],
  ['one\r\ntwo', ['one', 'two']],
  ['10%\r20%\r100%\n', ['10%', '20%', '100%']],
  ['\n\n', ['', '']],
  ['', []],
  ['a\r\n\nb', ['a', '', 'b']],
])('%j is cut into %j', ([text, lines]) => {
  expect(linesOf([Buffer.from(text)])).toEqual(lines);
});

test('lines do not depend on where the bytes were cut, even inside a character', () => {
  const texts = fc.array(fc.constantFrom('é', '日', '😀', 'a', '\n', '\r', '\r\n'), { maxLength: 60 });
  fc.assert(
    fc.property(texts, fc.array(fc.nat({ max: 6 }), { maxLength: 40 }), (parts, cuts) => {
      const bytes = Buffer.from(parts.join(''));
      const chunks: Buffer[] = [];
      let at = 0;
      for (const cut of cuts) {
        chunks.push(bytes.subarray(at, at + cut));
        at += cut;
      }
      chunks.push(bytes.subarray(at));
      expect(linesOf(chunks)).toEqual(linesOf([bytes]));
    }),
  );
});

test('a line without an end is told in pieces of whole characters', () => {
  const text = 'é'.repeat(100_000);
  const lines = linesOf([Buffer.from(text)]);
  expect(lines.length).toBeGreaterThan(1);
  expect(lines.join('')).toBe(text);
});
