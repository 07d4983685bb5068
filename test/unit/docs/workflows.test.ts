import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { calculateMatrix, parseMatrixConfig, parseTagContext } from '../../../src/release/index.ts';
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

test('there is an example for tags, releases, a matrix and retention', () => {
  expect(names.toSorted()).toEqual(['matrix.yml', 'release.yml', 'retention.yml', 'tags.yml']);
});

test.for(names)("R002-1 R002-4: GitHub's own parser has nothing against %s", async (name) => {
  expect(await workflowProblems(name, workflow(name))).toEqual([]);
});

test('the parser sees an unknown key, a wrong type and a name that is nothing', async () => {
  const broken = 'on: push\njobs:\n  a:\n    runs-on: x\n    stepz: []\n    steps:\n      - run: ${{ nope.x }}\n';
  expect(await workflowProblems('a.yml', broken)).toHaveLength(2);
});

test('R002-12 R002-15: the hybrid runs for main and for version tags', () => {
  const { on } = parse(workflow('matrix.yml')) as Workflow;
  expect(on.push).toEqual({ branches: ['main'], tags: ['v*.*.*'] });
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
