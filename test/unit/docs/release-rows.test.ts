import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { PENDING, releaseRowsPage, rowLine, rowsWithoutTest, rowTests } from '../../../scripts/docs/release-rows.ts';

const page = readFileSync(new URL('../../../docs/release-rows.md', import.meta.url), 'utf8');
const pending = Object.values(PENDING).flat();

test('every row of the release designs has a test whose title begins with it', () => {
  expect(rowsWithoutTest().filter((row) => !pending.includes(row))).toEqual([]);
});

test('docs/release-rows.md is what scripts/gen-docs.ts writes from the tests', () => {
  // While rows are pending tests may come at any time; then no line may name a test that is not there.
  if (pending.length === 0) expect(page).toBe(releaseRowsPage());
  else expect(page.split('\n').filter((line) => /^\| [RCD]\d/.test(line) && !lines.has(line))).toEqual([]);
});

const lines = new Set(rowTests().map(rowLine));
