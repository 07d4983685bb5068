import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  calculateTags,
  PRESETS,
  parseTagContext,
  type TagContext,
  type TagRequest,
} from '../../../src/release/index.ts';

const CLOCK = new Date('2026-03-04T05:06:07.089Z');
const SHA = '860c1904a1ce19322e91ac35af1ab07466440c37';

const context = (given: object = {}): TagContext =>
  parseTagContext(
    JSON.stringify({
      event: 'push',
      ref: 'refs/heads/main',
      sha: SHA,
      default_branch: 'main',
      repo: { name: 'app', description: 'An app', url: 'https://example.org/app', license: 'MIT' },
      ...given,
    }),
    CLOCK,
  );
const onTag = (tag: string, more: object = {}) => context({ ref: `refs/tags/${tag}`, ...more });
const onBranch = (branch: string, more: object = {}) => context({ ref: `refs/heads/${branch}`, ...more });
const onPull = (more: object = {}) =>
  context({
    event: 'pull_request',
    ref: 'refs/pull/15/merge',
    pr: { number: 15, base: 'main', head_sha: 'b'.repeat(40) },
    ...more,
  });

const request = (rules: readonly string[], more: Partial<TagRequest> = {}): TagRequest => ({
  images: [],
  rules,
  flavors: [],
  labels: [],
  annotations: [],
  shortShaLength: 7,
  prHeadSha: false,
  ...more,
});
const tagsOf = (rules: readonly string[], where: TagContext, more: Partial<TagRequest> = {}) =>
  calculateTags(request(rules, more), where).tags;
const messageOf = (work: () => unknown): string => {
  try {
    work();
  } catch (thrown) {
    return (thrown as Error).message;
  }
  return 'nothing was thrown';
};

const SEMVER = ['type=semver,pattern={{version}}', 'type=semver,pattern={{major}}.{{minor}}'];

describe('R002-18: rules', () => {
  const rows: readonly (readonly [
    name: string,
    rules: readonly string[],
    where: TagContext,
    tags: readonly string[],
  ])[] = [
    // no rules
    ['no rules on a branch give its name', [], onBranch('dev'), ['dev']],
    ['no rules on a git tag give it and latest', [], onTag('v1.2.3'), ['v1.2.3', 'latest']],
    ['no rules on a pull request give its number', [], onPull(), ['pr-15']],
    [
      'no rules on a schedule give nightly, then the branch',
      [],
      onBranch('main', { event: 'schedule' }),
      ['nightly', 'main'],
    ],
    ['comments and empty lines are no rules', ['', '# type=sha', '  '], onBranch('dev'), ['dev']],
    // schedule
    ['schedule takes its pattern', ['type=schedule,pattern=weekly'], context({ event: 'schedule' }), ['weekly']],
    [
      'schedule expands dates',
      ["type=schedule,pattern={{date 'YYYYMMDD'}}"],
      context({ event: 'schedule' }),
      ['20260304'],
    ],
    ['schedule gives nothing on a push', ['type=schedule'], context(), []],
    // semver
    ['semver gives version and minor, then latest', SEMVER, onTag('v1.2.3'), ['1.2.3', '1.2', 'latest']],
    ['semver takes a tag without v', SEMVER, onTag('1.2.3'), ['1.2.3', '1.2', 'latest']],
    ['semver gives nothing on a branch', SEMVER, onBranch('main'), []],
    ['semver gives nothing for two numbers', SEMVER, onTag('v1.2'), []],
    ['semver gives nothing for leading zeros', SEMVER, onTag('v1.02.3'), []],
    ['semver gives nothing for what is no version', SEMVER, onTag('foo'), []],
    ['a prerelease has one tag and no latest', SEMVER, onTag('v1.2.3-rc.1'), ['1.2.3-rc.1']],
    ['a prerelease follows {{raw}} alone', ['type=semver,pattern={{raw}}'], onTag('v1.2.3-rc.1'), ['v1.2.3-rc.1']],
    [
      'a prerelease does not follow a pattern with more than raw',
      ['type=semver,pattern=x{{raw}}'],
      onTag('v1.2.3-rc.1'),
      ['1.2.3-rc.1'],
    ],
    ['raw keeps the v', ['type=semver,pattern={{raw}}'], onTag('v1.2.3'), ['v1.2.3', 'latest']],
    [
      'major, minor and patch',
      ['type=semver,pattern={{major}}_{{minor}}_{{patch}}'],
      onTag('v1.2.3'),
      ['1_2_3', 'latest'],
    ],
    ['build metadata is not in the version', SEMVER, onTag('v1.2.3+b1'), ['1.2.3', '1.2', 'latest']],
    ['build metadata in raw becomes -', ['type=semver,pattern={{raw}}'], onTag('v1.2.3+b1'), ['v1.2.3-b1', 'latest']],
    [
      'a value goes before the ref',
      ['type=semver,pattern={{version}},value=v2.0.0'],
      onBranch('main'),
      ['2.0.0', 'latest'],
    ],
    [
      'a value may be an expression',
      ['type=semver,pattern={{version}},value={{tag}}'],
      onTag('v3.0.0'),
      ['3.0.0', 'latest'],
    ],
    [
      'match takes its first group',
      ['type=semver,pattern={{version}},match=app/(.*)'],
      onTag('app/v1.2.3'),
      ['1.2.3', 'latest'],
    ],
    [
      'match without a group takes all it matches',
      [String.raw`"type=semver,pattern={{version}},match=v\d+\.\d+\.\d+"`.replaceAll('"', '')],
      onTag('app-v1.2.3'),
      ['1.2.3', 'latest'],
    ],
    [
      'match that fails goes on with the whole text',
      ['type=semver,pattern={{version}},match=x(.*)'],
      onTag('v1.2.3'),
      ['1.2.3', 'latest'],
    ],
    // pep440
    ['pep440 takes two numbers', ['type=pep440,pattern={{version}}'], onTag('v1.2'), ['1.2', 'latest']],
    ['pep440 normalises', ['type=pep440,pattern={{version}}'], onTag('v1.2.3beta2'), ['1.2.3b2']],
    [
      'pep440: a post release has one tag and no latest',
      ['type=pep440,pattern={{major}}'],
      onTag('1.0.post1'),
      ['1.0.post1'],
    ],
    ['pep440: a dev release follows {{raw}} alone', ['type=pep440,pattern={{raw}}'], onTag('v1.2.dev3'), ['v1.2.dev3']],
    ['pep440 parts', ['type=pep440,pattern={{major}}.{{minor}}.{{patch}}'], onTag('2.1'), ['2.1.0', 'latest']],
    ['pep440 gives nothing for words', ['type=pep440,pattern={{version}}'], onTag('foo'), []],
    // match
    ['match takes all of it', [String.raw`type=match,pattern=\d.\d.\d`], onTag('v1.2.3'), ['1.2.3', 'latest']],
    ['match takes a group', ['type=match,pattern=v(.*),group=1'], onTag('v1.2.3'), ['1.2.3', 'latest']],
    ['match with slashes and flags', ['type=match,pattern=/V(.*)/i,group=1'], onTag('v1.2.3'), ['1.2.3', 'latest']],
    [
      'match with a quoted comma',
      [String.raw`"type=match","pattern=\d{1,3}.\d{1,3}.\d{1,3}"`],
      onTag('v1.22.333'),
      ['1.22.333', 'latest'],
    ],
    ['match that fails gives nothing', ['type=match,pattern=x'], onTag('v1'), []],
    ['match without such a group gives nothing', ['type=match,pattern=v,group=3'], onTag('v1'), []],
    ['match takes a value', ['type=match,pattern=a(.),group=1,value=ab'], onBranch('x'), ['b', 'latest']],
    // edge
    ['edge on the default branch', ['type=edge'], onBranch('main'), ['edge']],
    ['edge on another branch gives nothing', ['type=edge'], onBranch('dev'), []],
    ['edge on a named branch', ['type=edge,branch=dev'], onBranch('dev'), ['edge']],
    ['edge on a git tag gives nothing', ['type=edge'], onTag('main'), []],
    // ref
    ['ref,event=branch', ['type=ref,event=branch'], onBranch('feature/a b'), ['feature-a-b']],
    ['ref,event=tag votes for latest', ['type=ref,event=tag'], onTag('release/1'), ['release-1', 'latest']],
    ['ref,event=pr', ['type=ref,event=pr'], onPull(), ['pr-15']],
    ['ref,event=pr with an own prefix', ['type=ref,event=pr,prefix=mr-'], onPull(), ['mr-15']],
    ['ref,event=pr with an empty prefix', ['type=ref,event=pr,prefix='], onPull(), ['15']],
    ['ref,event=branch on a git tag gives nothing', ['type=ref,event=branch'], onTag('v1'), []],
    // raw
    ['raw', ['type=raw,value=foo'], context(), ['foo']],
    ['raw without value=', ['type=raw,foo'], context(), ['foo']],
    ['a bare word is raw', ['foo'], context(), ['foo']],
    ['the value may hold =', ['type=raw,value=a=b'], context(), ['a-b']],
    ['keys are read without case, values are not', ['TYPE=raw,VALUE=Foo'], context(), ['Foo']],
    ['blanks around fields are dropped', [' type = raw , value = foo '], context(), ['foo']],
    ['enable=false', ['type=raw,value=foo,enable=false', 'bar'], context(), ['bar']],
    ['enable as an expression', ['type=raw,value=foo,enable={{is_default_branch}}'], onBranch('dev'), []],
    ['is_not_default_branch', ['type=raw,value=foo,enable={{is_not_default_branch}}'], onBranch('dev'), ['foo']],
    [
      'a schedule counts as the default branch',
      ['type=raw,value=foo,enable={{is_default_branch}}'],
      onBranch('dev', { event: 'schedule' }),
      ['foo'],
    ],
    ['a git tag is not the default branch', ['type=raw,value=foo,enable={{is_default_branch}}'], onTag('main'), []],
    ['an empty value of an expression gives nothing', ['type=raw,value={{branch}}'], onTag('v1'), []],
    ['names of the ref', ['{{branch}}-{{sha}}'], onBranch('dev'), ['dev-860c190']],
    ['base_ref of a git tag', ['type=raw,value={{base_ref}}'], onTag('v1', { base_ref: 'stable' }), ['stable']],
    ['base_ref of a pull request', ['type=raw,value={{base_ref}}'], onPull(), ['main']],
    ['base_ref of a branch is empty', ['type=raw,value={{base_ref}}'], onBranch('dev', { base_ref: 'x' }), []],
    ['dates have zones', ["type=raw,value={{date 'YYYYMMDD-HHmmss' tz='Asia/Tokyo'}}"], context(), ['20260304-140607']],
    ['dates: ISO week, milliseconds and text', ["{{date 'GGGG[w]WW.SSS'}}"], context(), ['2026w10.089']],
    ['dates: epoch', ["{{date 'X'}}"], context(), ['1772600767']],
    ['dates without a format are ISO 8601', ['{{date}}'], context(), ['2026-03-04T05-06-07Z']],
    ['commit dates', ["{{commit_date 'YYYY'}}"], context({ commit_date: '2021-01-02T03:04:05Z' }), ['2021']],
    // sha
    ['sha', ['type=sha'], context(), ['sha-860c190']],
    ['sha,format=long', ['type=sha,format=long'], context(), [`sha-${SHA}`]],
    ['sha with an own prefix', ['type=sha,prefix='], context(), ['860c190']],
    ['no sha, no tag', ['type=sha'], context({ sha: null }), []],
    // order and doubles
    [
      'priority orders, latest is last',
      ['type=sha', 'type=ref,event=tag', ...SEMVER],
      onTag('v1.2.3'),
      ['1.2.3', '1.2', 'v1.2.3', 'sha-860c190', 'latest'],
    ],
    ['own priorities', ['type=sha,priority=2000', 'type=raw,value=a'], context(), ['sha-860c190', 'a']],
    ['equal priorities keep their order', ['type=raw,value=b', 'type=raw,value=a'], context(), ['b', 'a']],
    ['C15: a tag is listed once', [...SEMVER, 'type=raw,value=latest'], onTag('v1.2.3'), ['1.2.3', '1.2', 'latest']],
    ['case is kept', ['Foo', 'foo'], context(), ['Foo', 'foo']],
    ['D10: nothing is escaped', ['type=raw,value={{branch}}'], onBranch('a&b'), ['a-b']],
    // github expressions
    [
      'R002-13: enable of ${{ }}',
      ["type=raw,value=latest,enable=${{ startsWith(github.ref, 'refs/tags/v') }}"],
      onTag('v1'),
      ['latest'],
    ],
    [
      '${{ }} is evaluated before commas split',
      ["type=raw,value=${{ format('{0}-{1}', github.ref_name, 'x') }}"],
      onBranch('dev'),
      ['dev-x'],
    ],
    [
      '${{ }} logic',
      ["type=raw,value=a,enable=${{ github.event_name != 'push' || (github.ref_type == 'branch' && !false) }}"],
      context(),
      ['a'],
    ],
    ['${{ }} compares without case', ["type=raw,value=a,enable=${{ github.event_name == 'PUSH' }}"], context(), ['a']],
    [
      '${{ }} gives a value',
      ["type=raw,value=${{ github.ref_type == 'tag' && 'stable' || 'dev' }}"],
      context(),
      ['dev'],
    ],
    [
      '${{ }} functions',
      ["type=raw,value=a,enable=${{ endsWith(github.sha, 'C37') && contains(github.ref, 'MAIN') }}"],
      context(),
      ['a'],
    ],
  ];
  test.for(rows)('%s', ([, rules, where, tags]) => {
    expect(tagsOf(rules, where)).toEqual(tags);
  });
});

describe('R002-18: flavors', () => {
  const flavored = (flavors: readonly string[], rules: readonly string[], where: TagContext) =>
    tagsOf(rules, where, { flavors });
  test.for<[string, string[], string[], TagContext, string[]]>([
    ['latest=false', ['latest=false'], SEMVER, onTag('v1.2.3'), ['1.2.3', '1.2']],
    ['latest=true on a branch', ['latest=true'], ['type=ref,event=branch'], onBranch('dev'), ['dev', 'latest']],
    ['latest=true without any tag gives none', ['latest=true'], SEMVER, onBranch('dev'), []],
    [
      'the first rule that gives a tag decides',
      [],
      ['type=raw,value=a,priority=1000', ...SEMVER],
      onTag('v1.2.3'),
      ['a', '1.2.3', '1.2'],
    ],
    [
      'a rule that gives nothing does not vote',
      [],
      ['type=edge,priority=1000', ...SEMVER],
      onTag('v1.2.3'),
      ['1.2.3', '1.2', 'latest'],
    ],
    ['prefix', ['prefix=x-'], SEMVER, onTag('v1.2.3'), ['x-1.2.3', 'x-1.2', 'latest']],
    ['prefix on latest', ['prefix=x-,onlatest=true'], SEMVER, onTag('v1.2.3'), ['x-1.2.3', 'x-1.2', 'x-latest']],
    [
      'suffix on latest',
      ['suffix=-alpine,onlatest=true'],
      SEMVER,
      onTag('v1.2.3'),
      ['1.2.3-alpine', '1.2-alpine', 'latest-alpine'],
    ],
    [
      'a rule’s own prefix replaces it',
      ['prefix=x-'],
      ['type=raw,value=a,prefix=y-', 'type=raw,value=b,prefix='],
      context(),
      ['y-a', 'b'],
    ],
    ['the built-in prefix replaces it', ['prefix=x-'], ['type=sha'], context(), ['sha-860c190']],
    [
      'D12: expressions on latest, too',
      ['suffix=-{{sha}},onlatest=true'],
      SEMVER,
      onTag('v1.2.3'),
      ['1.2.3-860c190', '1.2-860c190', 'latest-860c190'],
    ],
  ])('%s', ([, flavors, rules, where, tags]) => {
    expect(flavored(flavors, rules, where)).toEqual(tags);
  });
});

describe('images', () => {
  test('D9: names are lower case, tags are not; image by image', () => {
    const { tags, byImage } = calculateTags(
      request(['Foo', 'bar'], { images: ['GHCR.io/Owner/App', 'name=other,enable=true', 'off,enable=false'] }),
      context(),
    );
    expect(tags).toEqual(['ghcr.io/owner/app:Foo', 'ghcr.io/owner/app:bar', 'other:Foo', 'other:bar']);
    expect([...byImage.keys()]).toEqual(['ghcr.io/owner/app', 'other']);
  });
  test('a line may list names', () => {
    expect(tagsOf(['a'], context(), { images: ['one,two'] })).toEqual(['one:a', 'two:a']);
  });
  test.for(['name=a,foo=bar', 'a_-b', 'a/', '/a', 'enable=true', 'name=a,enable=yes', 'a b'])(
    '%s is refused',
    (image) => {
      expect(messageOf(() => tagsOf(['a'], context(), { images: [image] }))).toContain(`image "${image}"`);
    },
  );
});

describe('labels and annotations', () => {
  test('say where an image comes from, sorted; custom ones go before', () => {
    const { labels, annotations } = calculateTags(
      request(SEMVER, {
        labels: ['org.opencontainers.image.title=mine', 'dropped', 'a=b=c', 'empty=', 'branch={{tag}}'],
      }),
      onTag('v1.2.3'),
    );
    expect(labels).toEqual({
      a: 'b=c',
      branch: 'v1.2.3',
      empty: '',
      'org.opencontainers.image.created': '2026-03-04T05:06:07.089Z',
      'org.opencontainers.image.description': 'An app',
      'org.opencontainers.image.licenses': 'MIT',
      'org.opencontainers.image.revision': SHA,
      'org.opencontainers.image.source': 'https://example.org/app',
      'org.opencontainers.image.title': 'mine',
      'org.opencontainers.image.url': 'https://example.org/app',
      'org.opencontainers.image.version': '1.2.3',
    });
    expect(Object.keys(labels)).toEqual(Object.keys(labels).toSorted());
    expect(annotations['org.opencontainers.image.title']).toBe('app');
  });
});

describe('pull requests', () => {
  test('D40: pull_request_target does not tag as the base branch', () => {
    const target = context({ event: 'pull_request_target', pr: { number: 7, base: 'main', head_sha: 'c'.repeat(40) } });
    expect(tagsOf(['type=ref,event=branch', 'type=ref,event=pr', 'type=edge', 'type=sha'], target)).toEqual([
      'pr-7',
      'sha-860c190',
    ]);
    expect(tagsOf(['type=sha'], target, { prHeadSha: true })).toEqual(['sha-ccccccc']);
  });
  test('the short length is settable; past the end it is all', () => {
    expect(tagsOf(['type=sha'], context(), { shortShaLength: 12 })).toEqual(['sha-860c1904a1ce']);
    expect(tagsOf(['type=sha', '{{sha}}'], context(), { shortShaLength: 99 })).toEqual([SHA, `sha-${SHA}`]);
  });
});

describe('errors: each with the rule, and no tag', () => {
  test.for<[string, RegExp]>([
    ['type=foo', /there is no type "foo"/],
    ['type=semver', /needs pattern/],
    ['type=match', /needs pattern/],
    ['type=match,pattern=a,group=x', /group "x" is no number/],
    ['type=ref', /needs event/],
    ['type=ref,event=push', /event "push"/],
    ['type=raw', /needs value/],
    ['type=sha,format=middle', /format "middle"/],
    ['type=raw,value=a,enable=yes', /enable "yes"/],
    ['type=raw,value=a,priority=high', /priority "high"/],
    ['type=match,pattern=(', /no regular expression/],
    ['type=raw,value={{nothing}}', /there is no "nothing"/],
    ['type=raw,value={{branch', /not closed/],
    ['type=semver,pattern={{branch}}', /there is no "branch"/],
    ["type=raw,value={{date 'YYYY' foo='x'}}", /no argument "foo"/],
    ["type=raw,value={{date 'YYYY' tz='Mars/Base'}}", /no time zone/],
    ['type=raw,value={{sha 1}}', /takes no arguments/],
    ['type=raw,"value=a', /quote/],
    ['type=raw,value=${{ github.token }}', /github\.token is not known/],
    ['type=raw,value=${{ secrets.A }}', /secrets\.A is not known/],
    ["type=raw,value=${{ startsWith('a') }}", /two values/],
    ["type=raw,value=${{ 'a }}", /not closed/],
    ['type=raw,value=${{ hashFiles() }}', /no function hashFiles/],
    ["type=raw,value=${{ 'a' 'b' }}", /is missing/],
  ])('%s', ([rule, expected]) => {
    const message = messageOf(() => tagsOf([rule, 'type=sha'], onTag('v1.2.3')));
    expect(message).toMatch(expected);
    expect(message).toContain(`"${rule}"`);
  });
  test('all wrong rules are told, a line each, with their number', () => {
    const message = messageOf(() => tagsOf(['type=sha', 'type=foo', '# comment', 'type=bar'], context()));
    expect(message.split('\n').map((line) => line.slice(0, 7))).toEqual(['rule 2 ', 'rule 4 ']);
  });
  test.for(['foo=bar', 'latest=yes', 'onlatest=true', 'prefix=a,onlatest=maybe', 'x'])('flavor %s', (flavor) => {
    expect(messageOf(() => tagsOf(['a'], context(), { flavors: [flavor] }))).toContain(`flavor "${flavor}"`);
  });
  test.for(['-a', '.a', 'a'.repeat(129)])('D7: %s is no tag, and nothing is cut', (value) => {
    expect(messageOf(() => tagsOf([`type=raw,value=${value}`], context()))).toContain('is no tag');
  });
  test('D11: a match without a group, and an unknown name, are told', () => {
    const { tags, explanations } = calculateTags(request(['type=match,pattern=v,group=1']), onTag('v1'));
    expect(tags).toEqual([]);
    expect(explanations[0]).toMatchObject({ tag: undefined, warning: true, reason: 'v has no group 1' });
  });
});

test.for<[document: string, message: string]>([
  ['', 'the context is empty: write for example {"event": "push", "ref": "refs/tags/v1.2.3"}'],
  ['{', 'the context is no JSON'],
  ['[]', 'the context: it takes names with values (name: value), not a list'],
  ['{"reff": "x"}', 'the context: there is no "reff" here'],
  ['{"pr": {"base": 5}}', "the context's pr.base: it takes a text, not 5: write it in quotes"],
])('a context %j is refused in words', ([document, message]) => {
  expect(messageOf(() => parseTagContext(document, CLOCK))).toBe(message);
});

describe('explain', () => {
  test('says which rule gave each tag and why the others gave none', () => {
    const { explanations } = calculateTags(request([...SEMVER, 'type=edge', 'type=raw,value=1.2']), onTag('v1.2.3'));
    expect(explanations.map(({ reason, tag }) => [tag, reason])).toEqual([
      ['1.2.3', 'it decides on latest: yes'],
      ['1.2', ''],
      [undefined, 'the ref is not the branch main'],
      ['1.2', 'another rule gave it before'],
    ]);
  });
});

describe('presets', () => {
  const preset = (name: keyof typeof PRESETS, where: TagContext) =>
    tagsOf(PRESETS[name].rules, where, { flavors: PRESETS[name].flavors });
  test('R002-2: tags-only gives version, minor and latest', () => {
    expect(preset('tags-only', onTag('v0.1.1'))).toEqual(['0.1.1', '0.1', 'latest']);
  });
  test('R002-5: tags-only gives nothing for a push to main', () => {
    expect(preset('tags-only', onBranch('main'))).toEqual([]);
  });
  test('R002-14, C3: main-and-tags gives latest, latest-dev and the version', () => {
    expect(preset('main-and-tags', onBranch('main'))).toEqual(['latest-dev']);
    expect(preset('main-and-tags', onTag('v0.1.1'))).toEqual(['0.1.1', 'latest']);
  });
  test('R002-13: the hybrid design’s rules, verbatim', () => {
    const rules = [
      'type=ref,event=branch,suffix=-dev',
      ...SEMVER,
      "type=raw,value=latest,enable=${{ startsWith(github.ref, 'refs/tags/v') }}",
    ];
    expect(tagsOf(rules, onBranch('main'))).toEqual(['main-dev']);
    expect(tagsOf(rules, onTag('v0.1.1'))).toEqual(['0.1.1', '0.1', 'latest']);
  });
  test('R002-17: three strategies can be chosen', () => {
    expect(preset('every-commit', onBranch('main'))).toEqual(['main', 'sha-860c190']);
    expect(preset('main-and-tags', onBranch('main'))).toEqual(['latest-dev']);
    expect(preset('tags-only', onBranch('main'))).toEqual([]);
  });
  test('D1: in no preset a prerelease is latest', () => {
    for (const name of Object.keys(PRESETS) as (keyof typeof PRESETS)[])
      expect(preset(name, onTag('v1.2.3-rc.1'))).not.toContain('latest');
  });
  test('R000-5: release gives version and commit, and latest', () => {
    expect(preset('release', onTag('v1.0.0'))).toEqual(['v1.0.0', SHA, 'latest']);
  });
  test('R002-3: a pull request is its number', () => {
    for (const name of ['tags-only', 'main-and-tags'] as const) expect(preset(name, onPull())).toEqual(['pr-15']);
  });
});

describe('properties', () => {
  const ref = fc.oneof(
    fc.string({ minLength: 1 }).map((name) => `refs/heads/${name}`),
    fc.string({ minLength: 1 }).map((name) => `refs/tags/${name}`),
    fc.constant('refs/pull/3/merge'),
  );
  test('a calculation gives tags of the grammar, each once, or a coded error', () => {
    fc.assert(
      fc.property(ref, fc.array(fc.string(), { maxLength: 4 }), (where, rules) => {
        let tags: readonly string[];
        try {
          tags = tagsOf(rules, context({ ref: where }));
        } catch (thrown) {
          expect(thrown).toHaveProperty('code', expect.stringMatching(/^TAG_(?:RULE_)?INVALID$/));
          return;
        }
        expect(new Set(tags).size).toBe(tags.length);
        for (const tag of tags) expect(tag).toMatch(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/);
      }),
      { numRuns: 2000 },
    );
  });
  test('R001-22: the same event and rules give the same tags, in whatever order equal lines stand apart', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(['type=sha', 'type=edge', 'type=ref,event=branch', 'type=schedule']), (rules) => {
        expect(tagsOf(rules, onBranch('main')).toSorted()).toEqual(
          tagsOf(rules.toReversed(), onBranch('main')).toSorted(),
        );
      }),
    );
  });
});
