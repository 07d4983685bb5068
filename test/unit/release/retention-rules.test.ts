import { describe, expect, test } from 'vitest';
import type { Digest } from '../../../src/digest/index.ts';
import {
  checkPlan,
  parseMatrixConfig,
  parseRetentionPolicy,
  planRetention,
  type RetentionRules,
  readInventory,
} from '../../../src/release/index.ts';
import { MemoryRepository } from '../../support/release/memory-repository.ts';

const { signal } = new AbortController();
const NOW_MS = Date.UTC(2026, 5, 1);
const day = (of: number) => new Date(Date.UTC(2026, 0, of)).toISOString();

async function planOf(repository: MemoryRepository, given: Partial<RetentionRules>) {
  const rules: RetentionRules = {
    keep: 1,
    order: 'created',
    graceMs: 86_400_000,
    nowMs: NOW_MS,
    protect: new Set(),
    pinned: new Map(),
    withCommitTags: false,
    begun: new Set(),
    ...given,
  };
  const inventory = await readInventory(repository.reader(), { signal });
  const plan = planRetention(inventory, rules);
  expect(checkPlan(inventory, rules, plan)).toEqual([]);
  const goes = plan.deletions.flatMap((each) => (each.kind === 'tag' ? [each.tag] : each.tags)).toSorted();
  const gone = new Set<Digest>(plan.deletions.flatMap((each) => (each.kind === 'manifest' ? [each.digest] : [])));
  return { goes, gone, plan };
}

/** A single image a tag, made on the day. */
function repositoryOf(tags: Readonly<Record<string, number | undefined>>): MemoryRepository {
  const repository = new MemoryRepository();
  for (const [tag, made] of Object.entries(tags))
    repository.tags.set(tag, repository.image({ name: tag, created: made === undefined ? undefined : day(made) }));
  return repository;
}

test('D25: what took the place of a removed tag has no grace, tagged or not; what is young beside it stays', async () => {
  const repository = repositoryOf({ '1.0.0': 1 });
  repository.listsManifests = true;
  const [mark, young] = [repository.mark('0.9.0'), repository.image({ name: 'young' })];
  for (const digest of [mark, young]) repository.pushedMs.set(digest, NOW_MS - 1000);
  const tagged = repository.mark('0.8.0');
  repository.tags.set('0.8.0', tagged);
  const { goes, gone } = await planOf(repository, { keep: 5 });
  expect([goes, [...gone].toSorted()]).toEqual([['0.8.0'], [mark, tagged].toSorted()]);
});

describe('which releases go', () => {
  test.for<[string, Readonly<Record<string, number | undefined>>, Partial<RetentionRules>, readonly string[]]>([
    ['C4: the newest by time', { '1.0.0': 1, '1.1.0': 2, '1.0.1': 3 }, { keep: 2 }, ['1.0.0']],
    [
      'C4: the newest by version',
      { '1.0.0': 1, '1.1.0': 2, '1.0.1': 3 },
      { keep: 1, order: 'version' },
      ['1.0.0', '1.0.1'],
    ],
    ['C4: never the highest', { '2.0.0': 1, '1.0.0': 2, '1.0.1': 3 }, { keep: 1 }, ['1.0.0']],
    ['D3: 1.10 is above 1.9', { '1.9.0': 1, '1.10.0': 1 }, { keep: 1 }, ['1.9.0']],
    ['D5: a date is no release', { '2029.1.9': 1, '1.0.0': 2 }, { keep: 1 }, []],
    [
      'D26: variants are one release',
      { '1.0.0': 1, '1.0.0-py3': 1, '1.1.0': 2, '1.1.0-py3': 2, py3: 2 },
      { keep: 2 },
      [],
    ],
    ['D26: variants go together', { '1.0.0': 1, '1.0.0-py3': 1, '1.1.0': 2, py3: 2 }, {}, ['1.0.0', '1.0.0-py3']],
    ['D1: prereleases are not counted', { '1.0.0': 1, '1.1.0-rc.1': 2, '1.1.0-rc.2': 3 }, { keep: 1 }, []],
    [
      'D1: a prerelease goes when newer releases are enough',
      { '1.0.0-rc.1': 1, '1.0.0': 2 },
      { keep: 1 },
      ['1.0.0-rc.1'],
    ],
    ['D33: one of unknown time stays', { '1.0.0': undefined, '1.1.0': 2, '1.2.0': 3 }, { keep: 1 }, ['1.1.0']],
    [
      'D43: other tags stay',
      { '1.0.0': 1, '1.1.0': 2, latest: 1, main: 1, buildcache: 1, 'pr-7': 1 },
      { keep: 1 },
      ['1.0.0'],
    ],
  ])('%s', async ([, tags, rules, expected]) => {
    expect((await planOf(repositoryOf(tags), rules)).goes).toEqual(expected);
  });

  test('commit tags stay with their image, and go with it when that is asked for', async () => {
    const repository = repositoryOf({ '1.0.0': 1, '1.1.0': 2 });
    repository.tags.set('sha-860c190', repository.tags.get('1.0.0') as Digest);
    expect((await planOf(repository, {})).plan.deletions).toMatchObject([{ kind: 'tag', tag: '1.0.0' }]);
    expect((await planOf(repository, { withCommitTags: true })).goes).toEqual(['1.0.0', 'sha-860c190']);
  });
});

test('D25: untagged manifests stay while they are young, and where it is not known what needs them', async () => {
  const repository = repositoryOf({ '1.0.0': 1 });
  const old = repository.image({ name: 'old', created: day(1) });
  const young = repository.image({ name: 'young', created: new Date(NOW_MS - 3_600_000).toISOString() });
  const pushedNow = repository.image({ name: 'made long ago, pushed now', created: day(2) });
  repository.pushedMs.set(pushedNow, NOW_MS - 1000);
  expect((await planOf(repository, {})).gone).toEqual(new Set());
  repository.listsManifests = true;
  expect((await planOf(repository, {})).gone).toEqual(new Set([old]));
  expect((await planOf(repository, { graceMs: 0 })).gone).toEqual(new Set([old, young, pushedNow]));
});

describe('a policy', () => {
  const plain = {
    keep: 5,
    order: 'created',
    graceMs: 86_400_000,
    protect: new Set(),
    variants: [],
    withCommitTags: false,
    storeIsEmpty: false,
  };

  test.for<[text: string, policy: object]>([
    ['keep=5', plain],
    ['keep: 5\n', plain],
    [
      'keep=5, order=version,grace=2d,commit_tags=true',
      { ...plain, order: 'version', graceMs: 172_800_000, withCommitTags: true },
    ],
    ['{"keep": 5, "variants": ["slim"]}', { ...plain, variants: ['slim'] }],
  ])('%s is read', ([text, policy]) => {
    expect(parseRetentionPolicy(text)).toEqual(policy);
  });

  test.for(
    [
      '',
      'keep=0',
      'keep=',
      'keep=1.5',
      'order=version',
      'keep=5,order=newest',
      'keep=5,',
      'keep=5,keep=6',
      'keep=5,kept=6',
    ].concat(['keep: 5\ngrace: soon\n', 'keep: [', '- keep', 'keep: 5\nprotect: [latest]\n']),
  )('%j is refused', (text) => {
    expect(() => parseRetentionPolicy(text)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
  });

  test('a matrix has it in its configuration', () => {
    const file = { registry: 'r.example', image: 'a', variants: ['3.9'], default: '3.9' };
    const read = (retention: object) => parseMatrixConfig(JSON.stringify({ ...file, retention })).retention;
    expect(read({ keep: 5 })).toEqual(plain);
    expect(() => read({ keep: 0 })).toThrow(expect.objectContaining({ code: 'MATRIX_INVALID' }));
  });
});
