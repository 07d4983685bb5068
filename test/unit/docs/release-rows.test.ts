import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { releaseRowsPage, rowsWithoutTest } from '../../../scripts/docs/release-rows.ts';

const page = readFileSync(new URL('../../../docs/release-rows.md', import.meta.url), 'utf8');

test('every row of the release designs has a test whose title begins with it', () => {
  expect(rowsWithoutTest()).toEqual([]);
});

test('docs/release-rows.md is what scripts/gen-docs.ts writes from the tests', () => {
  expect(page).toBe(releaseRowsPage());
});
