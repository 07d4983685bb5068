import fc from 'fast-check';
import { expect, test } from 'vitest';
import { WorkerError } from '../../../src/errors/index.ts';
import { parseProfileOrTrace, parseTrace } from '../../../src/trace/index.ts';
import { madeLayer, textOf, touchOf, traceOf } from './made-trace.ts';

const layers = [madeLayer('a', 40), madeLayer('b', 8)];
const trace = traceOf(layers, [
  touchOf(layers, 0, 3, { atUs: 10, waitUs: 700 }),
  touchOf(layers, 1, 0, { chunkCount: 3, atUs: 900, tier: 'ready' }),
]);
const text = textOf(trace);

test('a trace is read as it was recorded', () => {
  expect(parseTrace(text)).toEqual(trace);
});

test('any truncation is TRACE_INVALID', () => {
  for (let length = 0; length < text.length; length += 1)
    expect(() => parseTrace(text.slice(0, length)), String(length)).toThrow(
      expect.objectContaining({ code: 'TRACE_INVALID' }),
    );
});

test('whatever one changes in a file, it is read or it is TRACE_INVALID', () => {
  const readers = [parseTrace, parseProfileOrTrace];
  fc.assert(
    fc.property(fc.nat(text.length - 1), fc.nat(20), fc.string({ maxLength: 20 }), (at, drop, put) => {
      const changed = text.slice(0, at) + put + text.slice(at + drop);
      for (const read of readers) {
        try {
          read(changed);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(WorkerError);
          expect((thrown as WorkerError).code).toBe('TRACE_INVALID');
        }
      }
    }),
  );
});

test.for<[what: string, from: string, to: string]>([
  ['a later version', '"v":1', '"v":2'],
  ['a layer that is not there', '[1,0,3', '[2,0,3'],
  ['chunks behind the end', '[1,0,3', '[1,6,3'],
  ['more chunks than digests', '[1,0,3', '[1,0,4'],
  ['a time that runs back', '4096,900,', '4096,9,'],
  ['an unknown tier', '"ready"', '"near"'],
  ['another number of touches', '"touches":2', '"touches":3'],
  ['a number that is none', '4096,900,', '4096,1e99,'],
])('%s is TRACE_INVALID', ([, from, to]) => {
  expect(text).toContain(from);
  expect(() => parseTrace(text.replace(from, to))).toThrow(expect.objectContaining({ code: 'TRACE_INVALID' }));
});
