import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Digest, digestOf } from '../../../src/digest/index.ts';
import {
  calculateMatrix,
  compareVariants,
  type MatrixConfig,
  matrixOutputs,
  oldestVariant,
  parseMatrixConfig,
  parseTagContext,
  planMatrix,
  type TagContext,
} from '../../../src/release/index.ts';

const CONFIG = `
registry: ghcr.io/owner
image: orb
variants: ["3.9", "3.10", "3.11", "3.12", "3.13"]
default: "3.13"
`;
const config = (more = '', base = CONFIG): MatrixConfig => parseMatrixConfig(`${base}${more}`);
const context = (given: object): TagContext =>
  parseTagContext(
    JSON.stringify({ event: 'push', sha: 'a'.repeat(40), default_branch: 'main', ...given }),
    new Date('2026-03-04T05:06:07Z'),
  );
const release = (tag: string) => context({ ref: `refs/tags/${tag}` });
const main = context({ ref: 'refs/heads/main' });
const pull = context({ event: 'pull_request', ref: 'refs/pull/15/merge', pr: { number: 15 } });
const outputs = (where: TagContext, of = config()) => matrixOutputs(of, calculateMatrix(of, where));
const messageOf = (work: () => unknown): string => {
  try {
    work();
  } catch (thrown) {
    return (thrown as Error).message;
  }
  return 'nothing was thrown';
};
const image = (name: string): Digest => digestOf(Buffer.from(name));

describe('the tags of a run', () => {
  test('R001-1, R001-6, R001-28: a release has latest and its version for the default variant, and exact lists for all', () => {
    expect(outputs(release('v0.2.3'))).toMatchObject({
      primary_tags: 'latest,0.2.3',
      python_tags: 'python3.9,python3.10,python3.11,python3.12,python3.13',
      precision_tags: '0.2.3-python3.9,0.2.3-python3.10,0.2.3-python3.11,0.2.3-python3.12,0.2.3-python3.13',
      kind: 'release',
      version: '0.2.3',
      push: 'true',
    });
  });

  test('R001-2, R001-13: aliases stand for the precision tag of their variant, the primary ones for the default', () => {
    const { assignments } = calculateMatrix(config(), release('1.0.0'));
    const variantOf = (tag: string) => assignments.find((each) => each.tag === tag)?.variant;
    for (const tag of ['latest', '1.0.0', 'python3.13', '1.0.0-python3.13']) expect(variantOf(tag)).toBe('3.13');
    for (const tag of ['python3.9', '1.0.0-python3.9']) expect(variantOf(tag)).toBe('3.9');
  });

  test('R001-3: a precision tag is version and variant', () => {
    expect(calculateMatrix(config(), release('v10.20.30')).precision).toContain('10.20.30-python3.11');
  });

  test('R001-4, R001-7, R001-28: the branch has its name and dev, of the default variant alone', () => {
    expect(outputs(main)).toMatchObject({
      primary_tags: 'main,dev',
      python_tags: '',
      precision_tags: '',
      push: 'true',
    });
    expect(calculateMatrix(config(), main).assignments.map(({ variant }) => variant)).toEqual(['3.13', '3.13']);
    const trunk = context({ ref: 'refs/heads/trunk', default_branch: 'trunk' });
    expect(outputs(trunk)).toMatchObject({ primary_tags: 'trunk,dev' });
    expect(outputs(main, config('branch: trunk\n'))).toMatchObject({ primary_tags: '', kind: 'none', push: 'false' });
  });

  test('R001-5, R001-8: one calculation for all events; the list of variants has the configured name', () => {
    expect(Object.keys(outputs(main)).slice(0, 3)).toEqual(['primary_tags', 'python_tags', 'precision_tags']);
    const node = config('prefix: node-\nbuild_argument: NODE_VERSION\n');
    expect(outputs(release('v1.0.0'), node)).toMatchObject({
      node_tags: 'node-3.9,node-3.10,node-3.11,node-3.12,node-3.13',
    });
    expect(outputs(release('v1.0.0'), config("prefix: ''\n"))['variant_tags']).toContain('3.9,3.10');
  });

  test('C14, R002-3: a pull request is pr-N and never pushed', () => {
    const { push, assignments } = calculateMatrix(config(), pull);
    expect(push).toBe(false);
    expect(assignments.every(({ role }) => role === 'local')).toBe(true);
    expect(outputs(pull)).toMatchObject({ primary_tags: 'pr-15', python_tags: '', precision_tags: '', push: 'false' });
  });

  test.for([
    ['pull_request from a fork', { event: 'pull_request', ref: 'refs/heads/main', pr: { number: 15 } }],
    ['pull_request_target', { event: 'pull_request_target', ref: 'refs/heads/main', pr: { number: 15 } }],
    ['pull_request_review', { event: 'pull_request_review', ref: 'refs/heads/main', pr: { number: 15 } }],
    ['a ref of a pull request alone', { ref: 'refs/pull/15/head' }],
  ] as const)('D40: %s is never the base branch', ([, given]) => {
    expect(outputs(context(given))).toMatchObject({ primary_tags: 'pr-15', push: 'false' });
  });

  test('D40: a pull request without a number is an error, not a push', () => {
    expect(() => calculateMatrix(config(), context({ event: 'pull_request', ref: 'refs/heads/main' }))).toThrow(
      /names no number/,
    );
  });

  test.for([
    ['v1.2', 'none'],
    ['v1.2.3', 'release'],
    ['v1.2.3-rc.1', 'release'],
    ['nightly', 'none'],
    ['v1.02.3', 'none'],
  ] as const)('R002-1, R002-15: the git tag %s is %s', ([tag, kind]) => {
    expect(calculateMatrix(config(), release(tag)).event.kind).toBe(kind);
  });

  test('R002-1, R002-4: a manual run does what its ref says; another branch nothing', () => {
    const by = (ref: string) => calculateMatrix(config(), context({ event: 'workflow_dispatch', ref })).event.kind;
    expect(by('refs/tags/v1.2.3')).toBe('release');
    expect(by('refs/heads/main')).toBe('development');
    expect(by('refs/heads/feature')).toBe('none');
  });

  test('D8: of two branches whose names would be one tag, only the default branch has one', () => {
    const by = (ref: string) => outputs(context({ ref, default_branch: 'a-b' }))['primary_tags'];
    expect(by('refs/heads/a-b')).toBe('a-b,dev');
    expect(by('refs/heads/a/b')).toBe('');
  });

  test('a prerelease has its precision tags and its version, and moves nothing', () => {
    expect(outputs(release('v1.0.0-rc.1'))).toMatchObject({
      primary_tags: '1.0.0-rc.1',
      python_tags: '',
      precision_tags: expect.stringContaining('1.0.0-rc.1-python3.9') as string,
    });
  });

  test('R001-21: no tag is there twice, and two variants that want one are refused before anything is built', () => {
    const odd = config('', CONFIG.replace('"3.9"', '"1.0.0"')).variants;
    expect(odd).toContain('1.0.0');
    const clash = parseMatrixConfig(
      'registry: r.example/o\nimage: orb\nprefix: ""\nvariants: ["1.0.0", "2"]\ndefault: "2"\n',
    );
    expect(messageOf(() => calculateMatrix(clash, release('1.0.0')))).toBe(
      '1.0.0 would stand for the variants 1.0.0 and 2',
    );
    const latest = parseMatrixConfig(
      'registry: r.example/o\nimage: orb\nprefix: ""\nvariants: [latest]\ndefault: latest\n',
    );
    expect(messageOf(() => calculateMatrix(latest, release('1.0.0')))).toMatch(/latest would be the tag of a variant/);
  });

  test('R001-21, D7: a tag that breaks the grammar is refused, not cut', () => {
    const long = config('', CONFIG.replaceAll('"3.13"', `"${'9'.repeat(40)}"`));
    expect(messageOf(() => calculateMatrix(long, release(`v1.0.0-${'a'.repeat(100)}`)))).toMatch(
      /at most 128 characters/,
    );
  });

  test('D4: a version that ends like a precision tag is refused', () => {
    expect(messageOf(() => calculateMatrix(config(), release('v0.2.3-python3.13')))).toMatch(
      /ends like the precision tags of python3.13/,
    );
  });

  test('D6: build metadata is refused: two builds would share one tag', () => {
    expect(() => calculateMatrix(config(), release('v1.2.3+b1'))).toThrow(/\+/);
  });

  test('D35: no development tag can be one that a release owns', () => {
    for (const tag of ['latest', '1.0.0', '1.0', 'python3.13', '1.0.0-python3.13'])
      expect(() => calculateMatrix(config(`development: ["${tag}"]\n`), main)).toThrow(/cannot be a development tag/);
  });

  test('R001-22: over random configurations and events no tag is double, every tag is legal, latest comes last', () => {
    const variants = fc.uniqueArray(
      fc.tuple(fc.nat(4), fc.nat(30)).map(([major, minor]) => `${major}.${minor}`),
      { minLength: 1, maxLength: 6 },
    );
    const versions = fc.tuple(fc.nat(30), fc.nat(30), fc.nat(30)).map((parts) => parts.join('.'));
    const events = fc.oneof(
      versions.map((version) => release(`v${version}`)),
      versions.map((version) => release(`${version}-rc.1`)),
      fc.constant(main),
      fc.constant(pull),
    );
    fc.assert(
      fc.property(variants, events, (names, event) => {
        const of = parseMatrixConfig(
          JSON.stringify({ registry: 'r.example', image: 'orb', variants: names, default: names[0] }),
        );
        const { assignments, precision, primary, push } = calculateMatrix(of, event);
        const tags = assignments.map(({ tag }) => tag);
        expect(new Set(tags).size).toBe(tags.length);
        for (const tag of tags) expect(tag).toMatch(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/);
        if (tags.includes('latest')) expect(tags.at(-1)).toBe('latest');
        expect(primary.length).toBeGreaterThan(0);
        const isRelease = calculateMatrix(of, event).event.kind === 'release';
        expect(precision.length).toBe(isRelease ? names.length : 0);
        expect(push).toBe(event !== pull);
      }),
      { numRuns: 300 },
    );
  });

  test('R001-28: the order is precision, variant, version, latest', () => {
    const roles = calculateMatrix(config(), release('v1.0.0')).assignments.map(({ role }) => role);
    expect([...new Set(roles)]).toEqual(['precision', 'variant', 'version', 'latest']);
  });
});

describe('the configuration', () => {
  test('C7, D34: a variant that YAML reads as a number is refused, as it is written', () => {
    const text = 'registry: r.example/o\nimage: orb\nvariants: [3.9, 3.10, "3.11"]\ndefault: 3.10\n';
    expect(messageOf(() => parseMatrixConfig(text)).split('\n')).toEqual([
      'variants.0: 3.9 is a number to YAML (3.9); write it as text: "3.9"',
      'variants.1: 3.10 is a number to YAML (3.1); write it as text: "3.10"',
      'default: 3.10 is a number to YAML (3.1); write it as text: "3.10"',
    ]);
    const json = '{"registry":"r.example/o","image":"orb","variants":[3.10],"default":"3.10"}';
    expect(() => parseMatrixConfig(json)).toThrow(/3\.10 is a number/);
  });

  test('R001-11: versions, default, argument, platforms and registry come from it; the rest has defaults', () => {
    expect(config()).toMatchObject({
      target: { registry: 'ghcr.io', repository: 'owner/orb' },
      variants: ['3.9', '3.10', '3.11', '3.12', '3.13'],
      defaultVariant: '3.13',
      argument: 'PYTHON_VERSION',
      platforms: ['linux/amd64', 'linux/arm64'],
    });
    expect(parseMatrixConfig(CONFIG, { registry: '127.0.0.1:5000/Test' }).target).toEqual({
      registry: '127.0.0.1:5000',
      repository: 'test/orb',
    });
  });

  test.for([
    ['default: "3.8"\n', CONFIG.replace(/default.*\n/, ''), /default: 3.8 is none of the variants/],
    ['', CONFIG.replace('"3.10"', '"3.9"'), /variants: 3.9 is there twice/],
    ['platforms: [linux/amd64, linux/x86_64]\n', CONFIG, /platforms: linux\/amd64 is there twice/],
    ['platforms: [linux]\n', CONFIG, /platforms: linux is not os/],
    ['colour: red\n', CONFIG, /colour/],
    ['build_args: {PYTHON_VERSION: "3"}\n', CONFIG, /build_args: PYTHON_VERSION is set for each variant/],
    ['', CONFIG.replace('"3.9"', '"3/9"'), /variants.0: only letters/],
    ['', CONFIG.replace('"3.9"', '"3-1", "3_1"'), /two of them are owner_orb.python3_1 in the store/],
    ['image: orb\n', CONFIG, /no YAML: Map keys must be unique/],
    ['', CONFIG.replace('image: orb', 'image: "orb:1"'), /names a tag or digest/],
    ['variants: []\n', CONFIG.replace(/variants.*\n/, ''), /variants: it names no variant: write for example/],
    ['', '- a\n', /^it takes names with values \(name: value\), not a list$/],
    ['', '', /^the configuration is empty: it has registry, image, variants: \["3\.12", "3\.13"\] and default$/],
    ['', '# nothing yet\n', /^the configuration is empty: /],
    [
      '',
      'registry: r.example\n',
      /^image: it is missing: write for example image: app\nvariants: it is missing: .*\ndefault: /,
    ],
    ['', CONFIG.replace('"3.9"', 'true'), /variants.0: it takes a text, not true: write it in quotes/],
    ['platforms: linux/amd64\n', CONFIG, /platforms: it takes a list, not the text "linux\/amd64"/],
    ['platforms: []\n', CONFIG, /platforms: at least 1 is needed/],
    ['build_args: {"a b": x}\n', CONFIG, /build_args.a b: is no name of a build argument/],
    [
      'retention: {order: new, keep: 2}\n',
      CONFIG,
      /retention.order: it is one of created, version, not the text "new"/,
    ],
    ['retention: {}\n', CONFIG, /retention.keep: it is missing/],
    ['retention: {keep: x}\n', CONFIG, /retention.keep: is no whole number/],
    ['', 'x'.repeat(1 << 16), /^it takes names with values \(name: value\), not the text "x{40}…"$/],
    [
      '',
      CONFIG.replace(/variants.*/, `variants: [${Array.from({ length: 65 }, (_, at) => `"1.${at}"`).join(', ')}]`),
      /at most 64 are allowed/,
    ],
    ['', 'a: [', /no YAML/],
    ['', 'a: &a [*a, *a]\n', /./],
  ] as const)('what is wrong with %j is said', ([more, base, message]) => {
    expect(() => config(more, base)).toThrow(message);
    expect(() => config(more, base)).toThrow(expect.objectContaining({ code: 'MATRIX_INVALID' }));
  });

  test('D3: the oldest variant is found number by number', () => {
    expect(oldestVariant(['3.13', '3.10', '3.9'])).toBe('3.9');
    expect(['3.10', '3.9', '3.9.1', '3'].toSorted(compareVariants)).toEqual(['3', '3.9', '3.9.1', '3.10']);
  });
});

describe('the plan', () => {
  const all = (matrix: ReturnType<typeof calculateMatrix>) => matrix.assignments.map(({ tag }) => tag);
  const planOf = (where: TagContext, there: Readonly<Record<string, Digest>>) => {
    const matrix = calculateMatrix(config(), where);
    return planMatrix(config(), matrix, { tags: new Map(Object.entries(there)), all: Object.keys(there) });
  };
  const rowOf = (plan: ReturnType<typeof planOf>, tag: string) => plan.tags.find((each) => each.tag === tag);

  test('R001-15: every variant is built, and every tag created, on an empty repository', () => {
    const plan = planOf(release('v1.0.0'), {});
    expect(plan.variants.every(({ work }) => work === 'build')).toBe(true);
    expect(plan.tags.map(({ tag }) => tag)).toEqual(all(calculateMatrix(config(), release('v1.0.0'))));
    expect(plan.tags.every(({ action }) => action === 'create')).toBe(true);
  });

  test('what was released before is not built again, and its aliases are caught up', () => {
    const plan = planOf(release('v1.0.0'), { '1.0.0-python3.9': image('a') });
    expect(plan.variants.filter(({ work }) => work === 'released')).toEqual([
      { variant: '3.9', work: 'released', digest: image('a') },
    ]);
    expect(rowOf(plan, '1.0.0-python3.9')).toMatchObject({ action: 'stays' });
    expect(rowOf(plan, 'python3.9')).toMatchObject({ action: 'create' });
  });

  test('C6: a released version whose variant would be built anew is refused before the first build', () => {
    expect(() => planOf(release('v1.0.0'), { '1.0.0': image('legacy') })).toThrow(
      expect.objectContaining({ code: 'TAG_PERMANENT' }),
    );
  });

  test('C6, D35: a build of main plans no tag of a release', () => {
    const there = { latest: image('l'), '1.0.0': image('l'), '1.0.0-python3.13': image('l'), main: image('m') };
    const plan = planOf(main, there);
    expect(plan.tags.map(({ action, tag }) => [tag, action])).toEqual([
      ['main', 'move'],
      ['dev', 'create'],
    ]);
  });

  test('a patch of an older line leaves latest and the variants where they are; 1.10 is above 1.9', () => {
    const there = { '1.10.0': image('x'), '1.10.0-python3.9': image('y'), latest: image('x'), 'python3.9': image('y') };
    const plan = planOf(release('v1.9.9'), there);
    expect(rowOf(plan, 'latest')).toMatchObject({
      action: 'stays',
      reason: expect.stringContaining('1.10.0') as string,
    });
    expect(rowOf(plan, 'python3.9')).toMatchObject({ action: 'stays' });
    // No higher release has this variant.
    expect(rowOf(plan, 'python3.11')).toMatchObject({ action: 'create' });
  });

  test('R001-26: no plan takes a tag away', () => {
    const there = { old: image('o'), latest: image('l'), '0.9.0': image('l') };
    const plan = planOf(release('v1.0.0'), there);
    expect(plan.tags.map(({ action }) => action)).not.toContain('delete');
    expect(plan.tags.map(({ tag }) => tag)).not.toContain('old');
  });
});
