import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const directory = join(import.meta.dirname, '../../../docs/adr');

test('the index of the decisions has each of them, with its title', () => {
  const titles = readdirSync(directory)
    .filter((name) => /^\d/.test(name))
    .toSorted()
    .map((name) => {
      const [, number = '', title = ''] = /^# (\d+)\. (.*)/.exec(readFileSync(join(directory, name), 'utf8')) ?? [];
      return `| [${number}](${name}) | ${title} |`;
    });
  const rows = readFileSync(join(directory, 'README.md'), 'utf8').matchAll(/^\| \[.*?\) \| .*? \|/gm);
  expect([...rows].map(([row]) => row)).toEqual(titles);
});
