import { expect, test } from 'vitest';
import { mirrorAddress } from '../../../src/cli/blob-origin.ts';

test.for<[mirror: string, address: string]>([
  ['http://127.0.0.1:30020', 'http://127.0.0.1:30020'],
  ['https://mirror.test/', 'https://mirror.test'],
  ['127.0.0.1:5000', 'http://127.0.0.1:5000'],
  ['mirror.test', 'https://mirror.test'],
])('the mirror %s is asked at %s', ([mirror, address]) => {
  expect(mirrorAddress(mirror, false)).toBe(address);
});

test.for([
  'ftp://mirror.test',
  'https://mirror.test/v2',
  'https://user:hunter2@mirror.test',
  'https://mirror.test?a=b',
  'https://',
])('%s is no mirror, and is not repeated in the message', (mirror) => {
  expect(() => mirrorAddress(mirror, false)).toThrow(
    expect.objectContaining({ code: 'USAGE', message: expect.not.stringContaining('hunter2') as string }) as Error,
  );
});
