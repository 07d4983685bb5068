import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { createProgram } from '../../../src/cli/index.ts';
import { calculateMatrix, parseMatrixConfig, parseTagContext } from '../../../src/release/index.ts';
import { commandLinesOf } from '../../support/workflow-commands.ts';
import { workflowProblems } from '../../support/workflow-problems.ts';

const docs = new URL('../../../docs/', import.meta.url);
const names = readdirSync(new URL('workflows/', docs));
const workflow = (name: string) => readFileSync(new URL(`workflows/${name}`, docs), 'utf8');

interface Workflow {
  readonly on: { readonly push?: { readonly branches?: readonly string[]; readonly tags?: readonly string[] } };
  readonly permissions: Readonly<Record<string, string>>;
  readonly jobs: Readonly<
    Record<string, { readonly permissions?: Readonly<Record<string, string>>; readonly if?: string }>
  >;
}

test('there is an example for tags, publishing, releases, a matrix and retention', () => {
  expect(names.toSorted()).toEqual(['matrix.yml', 'publish.yml', 'release.yml', 'retention.yml', 'tags.yml']);
});

test.for(names)("R002-1, R002-4: GitHub's own parser has nothing against %s", async (name) => {
  expect(await workflowProblems(name, workflow(name))).toEqual([]);
});

test('the parser sees an unknown key, a wrong type and a name that is nothing', async () => {
  const broken = 'on: push\njobs:\n  a:\n    runs-on: x\n    stepz: []\n    steps:\n      - run: ${{ nope.x }}\n';
  expect(await workflowProblems('a.yml', broken)).toHaveLength(2);
});

test('R002-12, R002-15: the hybrid runs for main and for version tags', () => {
  const { on } = parse(workflow('matrix.yml')) as Workflow;
  expect(on.push).toEqual({ branches: ['main'], tags: ['v*.*.*'] });
});

test('R002-1, R002-4, R002-5: publishing runs for version tags and by hand, and not for a push to main', () => {
  const { on } = parse(workflow('publish.yml')) as Workflow;
  expect(on).toEqual({ push: { tags: ['v*.*.*'] }, workflow_dispatch: null });
  for (const name of names) expect(parse(workflow(name)), name).toHaveProperty('on.workflow_dispatch');
});

test('R002-10: retention comes after a build that succeeded', () => {
  const { jobs } = parse(workflow('matrix.yml')) as { jobs: Record<string, { needs?: string }> };
  expect(jobs['retention']?.needs).toBe('publish');
});

test('D40: what a pull request runs may write nothing', () => {
  const { jobs, permissions } = parse(workflow('matrix.yml')) as Workflow;
  expect(permissions).toEqual({ contents: 'read' });
  expect(jobs['check']).not.toHaveProperty('permissions');
  expect(jobs['publish']?.if).toBe("${{ github.event_name != 'pull_request' }}");
});

test('R001-27: the configuration that docs/matrix.md shows is one, and its variants are Pythons', () => {
  const page = readFileSync(new URL('matrix.md', docs), 'utf8');
  const [, shown = ''] = /```yaml\n([^`]+)```/.exec(page) ?? [];
  const config = parseMatrixConfig(shown);
  const context = parseTagContext('{"ref":"refs/tags/v1.0.0"}', new Date(0));
  for (const { tag } of calculateMatrix(config, context).assignments) {
    const isOneVersion = tag.startsWith('1.0.0');
    expect(isOneVersion || page.includes(`\`orb:${tag}\``)).toBe(true);
  }
  expect(page).toMatch(/The variant is what an image is chosen by; the platform is not/);
});

/** What the command line says against the words behind `clipyard`; nothing is run. */
function problemOf(words: readonly string[]): string | undefined {
  const nowhere = { write: () => true };
  const program = createProgram(
    { stdout: nowhere, stderr: nowhere } as unknown as Parameters<typeof createProgram>[0],
    true,
  );
  const commands = [program];
  for (const command of commands) {
    commands.push(...(command.commands as typeof commands));
    command.exitOverride();
    if (command.commands.length === 0 || command.registeredArguments.length > 0) command.action(() => undefined);
  }
  try {
    program.parse(words, { from: 'user' });
    return undefined;
  } catch (thrown) {
    return (thrown as Error).message;
  }
}

test('every command in the examples is one, with options that it has', () => {
  const lines = names.flatMap((name) => commandLinesOf(workflow(name)));
  expect(lines.map(([command]) => command)).toEqual(expect.arrayContaining(['matrix', 'release', 'retention', 'tags']));
  for (const words of lines) expect(problemOf(words), words.join(' ')).toBeUndefined();
  expect(problemOf(['release', 'a', 'v1', '--comit', 'x'])).toMatch(/unknown option '--comit'/);
  expect(problemOf(['matrix', 'verify'])).toMatch(/required option '--config/);
  expect(problemOf(['tag', 'a'])).toMatch(/missing required argument 'tags'/);
});
