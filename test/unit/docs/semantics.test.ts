import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const root = new URL('../../../', import.meta.url);

test('every test that docs/semantics.md names exists', () => {
  const text = readFileSync(new URL('docs/semantics.md', root), 'utf8');
  const named = [...text.matchAll(/`((?:test|native-tools)\/[^`\s]+\.(?:ts|rs))`/g)].map((match) => match[1] ?? '');
  expect(named.length).toBeGreaterThan(0);
  expect(named.filter((path) => !existsSync(new URL(path, root)))).toEqual([]);
});
