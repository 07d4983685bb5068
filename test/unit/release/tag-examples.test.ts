import { describe, expect, test } from 'vitest';
import { calculateTags, parseTagContext, type TagRequest, type TagResult } from '../../../src/release/index.ts';

/** What the documentation of the metadata action says its rules give: the same here, tag for tag. */

const SHA = '860c1904a1ce19322e91ac35af1ab07466440c37';
const MOMENT = '2020-01-10T00:30:00Z';

interface Given {
  readonly event?: string;
  readonly ref: string;
}
const MASTER: Given = { ref: 'refs/heads/master' };
const BRANCH: Given = { ref: 'refs/heads/my/branch' };
const PULL: Given = { event: 'pull_request', ref: 'refs/pull/2/merge' };
const NIGHT: Given = { event: 'schedule', ref: 'refs/heads/master' };
const gitTag = (name: string): Given => ({ ref: `refs/tags/${name}` });

function calculated(
  rules: readonly string[],
  { event = 'push', ref }: Given,
  more: Partial<TagRequest> = {},
): TagResult {
  const pr = event === 'pull_request' ? { pr: { number: 2, base: 'master', head_sha: 'b'.repeat(40) } } : {};
  const repo = { name: 'Hello-World', description: 'One', url: 'https://example.org/Hello-World', license: 'MIT' };
  const document = { event, ref, sha: SHA, default_branch: 'master', base_ref: 'master', repo, ...pr };
  const asked = { images: [], flavors: [], labels: [], annotations: [], shortShaLength: 7, prHeadSha: false };
  return calculateTags({ ...asked, rules, ...more }, parseTagContext(JSON.stringify(document), new Date(MOMENT)));
}
/** Without `latest`, which most tables leave out. */
const tagOf = (rule: string, given: Given) => calculated([rule], given, { flavors: ['latest=false'] }).tags;

const BASIC = ['type=ref,event=branch', 'type=ref,event=pr'];
const SEMVER = [...BASIC, 'type=semver,pattern={{version}}', 'type=semver,pattern={{major}}.{{minor}}'];

test.for<[rules: readonly string[], given: Given, tags: string[]]>([
  [[], PULL, ['pr-2']],
  [[], MASTER, ['master']],
  [[], { ref: 'refs/heads/releases/v1' }, ['releases-v1']],
  [[], gitTag('v1.2.3'), ['v1.2.3', 'latest']],
  [[], gitTag('v2.0.8-beta.67'), ['v2.0.8-beta.67', 'latest']],
  [[], { event: 'workflow_dispatch', ref: 'refs/heads/master' }, ['master']],
  [SEMVER, PULL, ['pr-2']],
  [SEMVER, MASTER, ['master']],
  [SEMVER, { ref: 'refs/heads/releases/v1' }, ['releases-v1']],
  [SEMVER, gitTag('v1.2.3'), ['1.2.3', '1.2', 'latest']],
  [SEMVER, gitTag('v2.0.8-beta.67'), ['2.0.8-beta.67']],
  [[...SEMVER, 'type=sha'], gitTag('v1.2.3'), ['1.2.3', '1.2', 'sha-860c190', 'latest']],
  [
    ['type=schedule', ...SEMVER, 'type=semver,pattern={{major}}', 'type=sha'],
    NIGHT,
    ['nightly', 'master', 'sha-860c190'],
  ],
])('R002-18: a workflow with %j on %j', ([rules, given, tags]) => {
  expect(calculated(rules, given).tags).toEqual(tags);
});

test.for<[type: string, gitTag: string, pattern: string, tag: string]>([
  ['semver', 'v1.2.3', '{{raw}}', 'v1.2.3'],
  ['semver', 'v1.2.3', '{{version}}', '1.2.3'],
  ['semver', 'v1.2.3', '{{major}}.{{minor}}', '1.2'],
  ['semver', 'v1.2.3', 'v{{major}}', 'v1'],
  ['semver', 'v1.2.3', '{{minor}}', '2'],
  ['semver', 'v1.2.3', '{{patch}}', '3'],
  ['semver', 'v2.0.8-beta.67', '{{raw}}', 'v2.0.8-beta.67'],
  ['semver', 'v2.0.8-beta.67', '{{version}}', '2.0.8-beta.67'],
  ['semver', 'v2.0.8-beta.67', '{{major}}.{{minor}}', '2.0.8-beta.67'],
  ['pep440', '1.2.3', '{{raw}}', '1.2.3'],
  ['pep440', '1.2.3', '{{version}}', '1.2.3'],
  ['pep440', 'v1.2.3', '{{version}}', '1.2.3'],
  ['pep440', '1.2.3', '{{major}}.{{minor}}', '1.2'],
  ['pep440', '1.2.3', 'v{{major}}', 'v1'],
  ['pep440', 'v1.2.3rc2', '{{raw}}', 'v1.2.3rc2'],
  ['pep440', '1.2.3rc2', '{{version}}', '1.2.3rc2'],
  ['pep440', '1.2.3rc2', '{{major}}.{{minor}}', '1.2.3rc2'],
  ['pep440', '1.2.3post1', '{{major}}.{{minor}}', '1.2.3.post1'],
  ['pep440', '1.2.3beta2', '{{major}}.{{minor}}', '1.2.3b2'],
  ['pep440', '1.0dev4', '{{major}}.{{minor}}', '1.0.dev4'],
])('R002-18: %s of %s as %s', ([type, name, pattern, tag]) => {
  expect(tagOf(`type=${type},pattern=${pattern}`, gitTag(name))).toEqual([tag]);
  // A value stands for the git tag, whatever the ref is.
  expect(tagOf(`type=${type},pattern=${pattern},value=${name}`, MASTER)).toEqual([tag]);
});

test.for<[gitTag: string, pattern: string, group: number, tag: string]>([
  ['v1.2.3', String.raw`\d.\d.\d`, 0, '1.2.3'],
  ['v2.0.8-beta.67', 'v(.*)', 1, '2.0.8-beta.67'],
  ['v2.0.8-beta.67', String.raw`v(\d.\d)`, 1, '2.0'],
  ['20200110-RC2', String.raw`\d+`, 0, '20200110'],
  ['p1/v1.2.3', String.raw`p1/v(\d.\d.\d)`, 1, '1.2.3'],
])('R002-18: match of %s with %s, group %i', ([name, pattern, group, tag]) => {
  expect(tagOf(`type=match,pattern=${pattern},group=${group}`, gitTag(name))).toEqual([tag]);
  expect(tagOf(`type=match,pattern=${pattern},group=${group},value=${name}`, MASTER)).toEqual([tag]);
});

describe('expressions', () => {
  const longDate = "'dddd, MMMM Do YYYY, h:mm:ss a'";
  test.for<[rule: string, given: Given, tags: string[]]>([
    ['type=schedule', NIGHT, ['nightly']],
    ["type=schedule,pattern={{date 'YYYYMMDD'}}", NIGHT, ['20200110']],
    ["type=schedule,pattern={{date 'YYYYMMDD-HHmmss' tz='Asia/Tokyo'}}", NIGHT, ['20200110-093000']],
    [`"type=raw","value={{date ${longDate}}}"`, MASTER, ['Friday-January-10th-2020-12-30-00-am']],
    // Without the commit's date the clock's is taken.
    ["type=raw,value={{commit_date 'YYYYMMDD-HHmmss' tz='Asia/Tokyo'}}", MASTER, ['20200110-093000']],
    ['type=sha,prefix={{branch}}-', BRANCH, ['my-branch-860c190']],
    ['type=raw,value=mytag-{{branch}}-{{sha}}', MASTER, ['mytag-master-860c190']],
    ['type=raw,value={{branch}}', PULL, []],
    ['type=raw,value={{branch}}', BRANCH, ['my-branch']],
    ['type=raw,value={{branch}}', gitTag('v1.2.3'), []],
    ['type=raw,value={{tag}}', PULL, []],
    ['type=raw,value={{tag}}', MASTER, []],
    ['type=raw,value={{tag}}', gitTag('v1.2.3'), ['v1.2.3']],
    ['type=raw,value={{base_ref}}', PULL, ['master']],
    ['type=raw,value={{base_ref}}', MASTER, []],
    ['type=raw,value={{base_ref}}', gitTag('v1.2.3'), ['master']],
    ["type=raw,value=latest,enable=${{ github.ref == format('refs/heads/{0}', 'master') }}", MASTER, ['latest']],
    ["type=raw,value=latest,enable=${{ github.ref == format('refs/heads/{0}', 'master') }}", BRANCH, []],
    ['type=raw,value=latest,enable={{is_default_branch}}', MASTER, ['latest']],
    ['type=raw,value=latest,enable={{is_default_branch}}', BRANCH, []],
    ['type=edge', MASTER, ['edge']],
    ['type=edge,branch=my/branch', BRANCH, ['edge']],
  ])('R002-18: %s on %j', ([rule, given, tags]) => {
    expect(tagOf(rule, given)).toEqual(tags);
  });

  test('R002-18: major version zero has no tag of its own', () => {
    const rules = [
      'type=semver,pattern={{version}}',
      'type=semver,pattern={{major}}.{{minor}}',
      "type=semver,pattern={{major}},enable=${{ !startsWith(github.ref, 'refs/tags/v0.') }}",
    ];
    expect(calculated(rules, gitTag('v0.1.2')).tags).toEqual(['0.1.2', '0.1', 'latest']);
    expect(calculated(rules, gitTag('v1.1.2')).tags).toEqual(['1.1.2', '1.1', '1', 'latest']);
  });

  test('R002-18: labels of the commit’s date, titles of one’s own, and all images of a list', () => {
    const { labels, tags } = calculated(SEMVER, gitTag('v1.2.3'), {
      images: ['name=name/foo', 'ghcr.io/name/bar'],
      labels: ["org.opencontainers.image.created={{commit_date 'YYYY-MM-DDTHH:mm:ss.SSS[Z]'}}", 'maintainer=Me'],
    });
    expect(tags).toEqual(
      ['name/foo', 'ghcr.io/name/bar'].flatMap((name) => ['1.2.3', '1.2', 'latest'].map((tag) => `${name}:${tag}`)),
    );
    expect(labels).toEqual({
      maintainer: 'Me',
      'org.opencontainers.image.created': '2020-01-10T00:30:00.000Z',
      'org.opencontainers.image.description': 'One',
      'org.opencontainers.image.licenses': 'MIT',
      'org.opencontainers.image.revision': SHA,
      'org.opencontainers.image.source': 'https://example.org/Hello-World',
      'org.opencontainers.image.title': 'Hello-World',
      'org.opencontainers.image.url': 'https://example.org/Hello-World',
      'org.opencontainers.image.version': '1.2.3',
    });
  });
});
