import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LogLines } from '../../../src/buildkit/progress/log-lines.ts';
import { LogTail } from '../../../src/buildkit/progress/log-tail.ts';

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

test('the tail keeps room for what a step said last on stderr', () => {
  const tail = new LogTail(50);
  tail.push('stderr', 'why');
  for (let at = 0; at < 100; at++) tail.push('stdout', `line ${at}`);
  expect(tail.last(4)).toEqual(['why', 'line 97', 'line 98', 'line 99']);
  expect(tail.count).toBe(101);
});

test('the tail is the last lines where one stream said all, and shares where both did', () => {
  const tail = new LogTail(50);
  for (let at = 0; at < 10; at++) tail.push('stderr', `e${at}`);
  expect(tail.last(4)).toEqual(['e6', 'e7', 'e8', 'e9']);
  for (let at = 0; at < 10; at++) tail.push('stdout', `o${at}`);
  expect(tail.last(4)).toEqual(['e8', 'e9', 'o8', 'o9']);
});
