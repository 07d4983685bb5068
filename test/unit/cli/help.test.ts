import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { beforeAll, expect, test } from 'vitest';
import { runCommandLine } from '../../../src/cli/index.ts';

const root = join(import.meta.dirname, '../../..');

/** The help of every command, by its words: `cache layers gc`. The program's own has the key ''. */
const helps = new Map<string, string>();

async function helpOf(words: readonly string[]): Promise<string> {
  const stdout = new PassThrough();
  const exitCode = await runCommandLine(['node', 'clipyard', ...words, '--help'], {
    env: {},
    root,
    signal: new AbortController().signal,
    stdout,
    stderr: new PassThrough(),
  });
  expect(exitCode, words.join(' ')).toBe(0);
  stdout.end();
  return await text(stdout);
}

function commandsIn(help: string): readonly string[] {
  const [, list = ''] = /^Commands:\n((?: .*\n)+)/m.exec(help) ?? [];
  return [...list.matchAll(/^ {2}([a-z]+)/gm)].map(([, name = '']) => name).filter((name) => name !== 'help');
}

async function collect(words: readonly string[]): Promise<void> {
  const help = await helpOf(words);
  helps.set(words.join(' '), help);
  for (const name of commandsIn(help)) await collect([...words, name]);
}

beforeAll(async () => {
  await collect([]);
});

const commands = () => [...helps].filter(([name]) => name !== '');

test('there are as many commands as a reader of the README expects, at every depth', () => {
  expect([...helps.keys()]).toEqual(expect.arrayContaining(['build', 'release plan', 'cache layers gc']));
  expect(helps.size).toBeGreaterThan(50);
});

test('every command has an example and takes --json', () => {
  expect(commands().filter(([, help]) => !/^Examples?:\n/m.test(help))).toEqual([]);
  expect(commands().filter(([, help]) => !/^ {2}--json\b/m.test(help))).toEqual([]);
});

test('every example names a command that there is, with options that it has', () => {
  expect(commands().flatMap(([, help]) => examplesOf(help).filter((example) => !isCommand(example)))).toEqual([]);
});

test.for([
  'README.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
])('the commands in %s are there, with their options', (page) => {
  const blocks = readFileSync(join(root, page), 'utf8').matchAll(/^```\w*\n(.*?)^```/gms);
  const lines = [...blocks].flatMap(([, block = '']) => commandLines(block));
  expect(lines.filter((line) => !isCommand(line))).toEqual([]);
});

/** Whether what stands behind `clipyard` is a command, with options that this one has. */
function isCommand(line: string): boolean {
  const words = line.split(/\s+/);
  const depth = [3, 2, 1].find((count) => helps.has(words.slice(0, count).join(' ')));
  if (depth === undefined) return false;
  const name = words.slice(0, depth).join(' ');
  // `matrix` alone is `matrix run`.
  const own = `${helps.get(name) ?? ''}${helps.get(`${name} run`) ?? ''}`;
  return words.every((word) => !/^--[a-z]/.test(word) || own.includes(`  ${word.split('=')[0] ?? ''}`));
}

function examplesOf(help: string): readonly string[] {
  const [, examples = ''] = /^Examples?:\n((?: .*\n)+)/m.exec(help) ?? [];
  return commandLines(examples);
}

/** What stands behind `clipyard`, continued lines joined; without remarks, pipes, and what runs in a container. */
function commandLines(text: string): readonly string[] {
  const joined = text.replaceAll(/\\\n\s*/g, '');
  const found = joined.matchAll(/^\s*(?:\$ |.*\| )?(?:scripts\/)?clipyard (?:--json )?(.*)$/gm);
  return [...found].map(([, line = '']) => line.replace(/ #.*| -- .*| [|>] .*/, '').trim());
}
