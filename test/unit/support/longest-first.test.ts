import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { LONGEST, longestFirst } from '../../support/longest-first.ts';

test('the long files come first, longest first, and the others as they came', () => {
  const [longest, second] = LONGEST.map((path) => `/checkout/${path}`);
  expect(longestFirst(['/checkout/b.test.ts', second, '/checkout/a.test.ts', longest], (path) => path ?? '')).toEqual([
    ...[longest, second, '/checkout/b.test.ts', '/checkout/a.test.ts'],
  ]);
});

test('each of them is there', () => {
  expect(LONGEST.filter((path) => !existsSync(path))).toEqual([]);
});
