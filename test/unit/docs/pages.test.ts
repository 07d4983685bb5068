import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { withMatrixTable } from '../../../scripts/docs/matrix-table.ts';
import { configurationPage, errorsPage } from '../../../scripts/docs/pages.ts';

const page = (name: string) => readFileSync(new URL(`../../../docs/${name}`, import.meta.url), 'utf8');

test('the README leads to every page', () => {
  const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');
  const pages = readdirSync(new URL('../../../docs/', import.meta.url)).filter((name) => name.endsWith('.md'));
  expect(pages.filter((name) => !readme.includes(`(docs/${name})`))).toEqual([]);
});

test('docs/errors.md is what scripts/gen-docs.ts writes from the codes', () => {
  expect(page('errors.md')).toBe(errorsPage());
});

test('docs/configuration.md is what scripts/gen-docs.ts writes from the schema', () => {
  expect(page('configuration.md')).toBe(configurationPage());
});

test('R001-25: the table of docs/matrix.md is what the calculation gives', () => {
  expect(page('matrix.md')).toBe(withMatrixTable(page('matrix.md')));
});
