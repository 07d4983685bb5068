import { expect, test } from 'vitest';
import {
  parseAge,
  parseBandwidth,
  parseCompression,
  parseCount,
  parseFields,
  parsePairs,
  parseRegistryTarget,
  parseSize,
} from '../../../src/cli/parse-options.ts';

const usage = expect.objectContaining({ code: 'USAGE' }) as Error;

test.for<[string, number]>([
  ['4096', 4096],
  ['256KiB', 262_144],
  ['256k', 256_000],
  ['10GB', 10_000_000_000],
  ['1MiB', 1_048_576],
  ['12B', 12],
])('%s is %d bytes', ([text, bytes]) => {
  expect(parseSize(text, '--chunk')).toBe(bytes);
});

test('a bandwidth is a size that no stall has', () => {
  expect(parseBandwidth('10MB')).toBe(10_000_000);
  for (const text of ['64k', '0', 'fast']) expect(() => parseBandwidth(text)).toThrow(usage);
});

test.for(['', 'x', '-1', '1.5G', '99999999999999999999', '1Q'])('%j is no size', (text) => {
  expect(() => parseSize(text, '--chunk')).toThrow(usage);
});

test('a pair without a value takes it from the environment, and goes when it is not there', () => {
  expect(parsePairs(['A=1=2', 'B', 'C'], { B: 'from env' }, '--build-arg')).toEqual({ A: '1=2', B: 'from env' });
  expect(() => parsePairs(['=x'], {}, '--build-arg')).toThrow(usage);
});

test('fields are split at commas and at the first =', () => {
  expect(parseFields('type=registry,ref=a/b:c=d', '--cache-from')).toEqual({ type: 'registry', ref: 'a/b:c=d' });
  expect(() => parseFields('type', '--cache-from')).toThrow(usage);
});

test('a count is held within its bounds', () => {
  expect(parseCount('7', '--jobs', { min: 1, max: 8 })).toBe(7);
  for (const text of ['0', '9', '1e1', '', '-1'])
    expect(() => parseCount(text, '--jobs', { min: 1, max: 8 })).toThrow(usage);
});

test('compression flags give codec, level and chunk, each checked against the codec', () => {
  expect(parseCompression({ compression: 'zstd' })).toEqual({ codec: 'zstd', level: 1, chunkBytes: 262_144 });
  expect(parseCompression({ compression: 'gzip', level: '9', chunk: '1MiB' })).toEqual({
    codec: 'gzip',
    level: 9,
    chunkBytes: 1_048_576,
  });
  expect(() => parseCompression({ compression: 'gzip', level: '10' })).toThrow(usage);
  expect(() => parseCompression({ compression: 'lz4' })).toThrow(usage);
  expect(parseCompression({ compression: 'auto' })).toEqual({ codec: 'zstd', level: 'auto', chunkBytes: 262_144 });
  expect(() => parseCompression({ compression: 'auto', level: '3' })).toThrow(usage);
  expect(() => parseCompression({ compression: 'toString' })).toThrow(usage);
  expect(() => parseCompression({ compression: 'zstd', chunk: '100k' })).toThrow(usage);
});

test.for<[string, { registry: string; repository: string }]>([
  ['127.0.0.1:5000', { registry: '127.0.0.1:5000', repository: 'clipyard' }],
  ['127.0.0.1:5000/team/images', { registry: '127.0.0.1:5000', repository: 'team/images' }],
  ['[::1]:5000/a', { registry: '[::1]:5000', repository: 'a' }],
])('the registry target %s is split', ([text, target]) => {
  expect(parseRegistryTarget(text)).toEqual(target);
});

test.for(['', 'host/UPPER', 'host//a', 'host/a/', 'ho st/a', 'host/../a'])(
  'the registry target %j is refused',
  (text) => {
    expect(() => parseRegistryTarget(text)).toThrow(usage);
  },
);

test.for<[text: string, ageMs: number]>([
  ['0s', 0],
  ['90m', 5_400_000],
  ['7d', 604_800_000],
])('%s is %d ms', ([text, ageMs]) => {
  expect(parseAge(text, '--older-than')).toBe(ageMs);
});

test.for(['', '7', 'd', '-1d', '1.5h', '7 d', '1w', '9999999d'])('%j is no age', (text) => {
  expect(() => parseAge(text, '--older-than')).toThrow(usage);
});
