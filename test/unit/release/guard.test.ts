import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Digest } from '../../../src/digest/index.ts';
import {
  compareVersions,
  decideMovingTags,
  guardPermanentTag,
  guardReleaseTags,
  type LatestMode,
  mobilityOf,
  parseGuardVersion,
} from '../../../src/release/index.ts';

const VARIANTS = ['python3.9', 'python3.1', 'python3.13'];
const digest = (letter: string): Digest => `sha256:${letter.repeat(64)}` as Digest;
const moved = (version: string, released: readonly string[], latest?: LatestMode) =>
  decideMovingTags({
    version,
    released,
    tags: ['latest', '1', '1.1', '1.2'],
    variants: VARIANTS,
    ...(latest !== undefined && { latest }),
  })
    .filter(({ moves }) => moves)
    .map(({ tag }) => tag);

describe('moving tags', () => {
  test.for<[title: string, version: string, released: string[], tags: string[]]>([
    ['the first release moves all that cover it', '1.2.0', [], ['latest', '1', '1.2']],
    ['D1: a prerelease moves nothing', '1.2.0-rc.1', [], []],
    ['D2: a patch of an older line moves that line alone', '1.1.9', ['1.2.0', '1.1.8'], ['1.1']],
    ['D2: a new line moves all of its own', '1.2.0', ['1.1.9'], ['latest', '1', '1.2']],
    ['D2: an older major keeps latest', '1.2.1', ['2.0.0', '1.2.0'], ['1', '1.2']],
    ['D3: 1.10 is above 1.9', '1.10.0', ['1.9.0'], ['latest', '1']],
    ['D3: 1.9 is below 1.10', '1.2.9', ['1.2.10', '1.10.0'], []],
    ['D4: a variant is no prerelease', '1.2.0', ['1.2.1-python3.13'], []],
    ['D4: the longest variant name is taken', '1.2.0', ['1.2.1-python3.1'], []],
    ['D5: a date takes no part', '1.2.0', ['2029.1.9'], ['latest', '1', '1.2']],
    ['D5: a date moves nothing itself', '2029.1.9', ['1.0.0'], []],
    ['D6: build metadata does not count', '1.2.0+b2', ['1.2.0+b1'], ['latest', '1', '1.2']],
    ['D6: what + was replaced in is a prerelease', '1.2.3-b1', ['1.0.0'], []],
    ['R000-28: a leading v is no difference', 'v1.2.0', ['v1.1.0', '1.1.1'], ['latest', '1', '1.2']],
    ['what is no version moves nothing', 'nightly', [], []],
    ['tags that are no versions take no part', '1.2.0', ['main', 'pr-15', 'abcdef1', 'latest'], ['latest', '1', '1.2']],
    ['the same version again may write again', '1.2.0', ['1.2.0'], ['latest', '1', '1.2']],
  ])('%s', ([, version, released, tags]) => {
    expect(moved(version, released)).toEqual(tags);
  });

  test('C2: --latest=always moves latest whatever is there, and the lines still by order', () => {
    expect(moved('1.1.1', ['1.2.0', '1.1.0'], 'always')).toEqual(['latest', '1.1']);
    expect(moved('1.3.0', [], 'never')).toEqual([]);
    expect(decideMovingTags({ version: '1.1.1', released: ['1.2.0'], tags: ['latest'] })).toEqual([
      { tag: 'latest', moves: false, reason: '1.2.0 is higher' },
    ]);
  });

  test('what the tag stands for counts, also where its version was deleted', () => {
    const standsFor = new Map([['latest', '2.0.0']]);
    expect(decideMovingTags({ version: '1.5.0', released: ['1.4.0'], tags: ['latest', '1'], standsFor })).toEqual([
      { tag: 'latest', moves: false, reason: '2.0.0 is higher' },
      { tag: '1', moves: true, reason: 'not lower than 1.4.0' },
    ]);
  });

  test('a variant tag looks at the releases of that variant', () => {
    const decided = decideMovingTags({
      version: '1.2.0-python3.9',
      released: ['1.3.0', '1.3.0-python3.13', '1.1.0-python3.9'],
      tags: ['python3.9', '1-python3.9', 'python3.13'],
      variants: VARIANTS,
    });
    expect(decided.map(({ moves }) => moves)).toEqual([true, true, false]);
  });

  test('a tag that is no moving tag is refused', () => {
    expect(() => decideMovingTags({ version: '1.0.0', released: [], tags: ['1.0.0'] })).toThrow('no moving tag');
  });

  test('whatever was released, a tag never moves below it', () => {
    const version = fc.tuple(fc.nat(12), fc.nat(12), fc.nat(12)).map((parts) => parts.join('.'));
    fc.assert(
      fc.property(version, fc.array(version, { maxLength: 12 }), (next, released) => {
        const [latest] = decideMovingTags({ version: next, released, tags: ['latest'] });
        const ours = parseGuardVersion(next);
        const isHighest = released.every((each) => {
          const other = parseGuardVersion(each);
          return ours !== undefined && other !== undefined && (other.isDate || compareVersions(ours, other) >= 0);
        });
        expect(latest?.moves).toBe(isHighest);
      }),
    );
  });
});

describe('the tags of a release', () => {
  test.for<[title: string, version: string, released: string[], tags: string[], set: string[]]>([
    ['the first has them all', '0.1.1', [], ['0.1.1', '0.1', 'latest'], ['0.1.1', '0.1', 'latest']],
    ['D2: an older line has its own alone', '0.1.2', ['0.2.0'], ['0.1.2', '0.1', '0', 'latest'], ['0.1.2', '0.1']],
    ['D1: a candidate has its version alone', '1.0.0-rc.1', [], ['1.0.0-rc.1', 'latest'], ['1.0.0-rc.1']],
    ['D3: 1.10 is above 1.9', '1.9.1', ['1.10.0'], ['1.9.1', 'latest'], ['1.9.1']],
    ['branches and pull requests are free', 'latest-dev', ['1.0.0'], ['latest-dev', 'pr-15'], ['latest-dev', 'pr-15']],
  ])('%s', ([, version, released, tags, set]) => {
    const guarded = guardReleaseTags(tags, { version, released });
    expect(guarded.map(({ tag }) => tag)).toEqual(tags);
    expect(guarded.filter(({ stays }) => stays === undefined).map(({ tag }) => tag)).toEqual(set);
  });

  test('versions and commits are permanent, the rest is not', () => {
    const guarded = guardReleaseTags(['1.2.3', '1.2', 'latest', 'sha-860c190', 'main'], {
      version: '1.2.3',
      released: [],
    });
    expect(guarded.filter(({ permanent }) => permanent).map(({ tag }) => tag)).toEqual(['1.2.3', 'sha-860c190']);
  });
});

describe('permanent tags', () => {
  test('the same image again is success, another is refused', () => {
    expect(guardPermanentTag('v1.0.0', undefined, digest('a'))).toBe('write');
    expect(guardPermanentTag('v1.0.0', digest('a'), digest('a'))).toBe('unchanged');
    expect(() => guardPermanentTag('v1.0.0', digest('b'), digest('a'))).toThrow('does not change');
  });

  test.for<[tag: string, kind: string]>([
    ['v1.2.3', 'permanent'],
    ['1.2.3-rc.1', 'permanent'],
    ['1.2.3-python3.9', 'permanent'],
    ['sha-860c190', 'permanent'],
    ['860c1904a1ce19322e91ac35af1ab07466440c37', 'permanent'],
    ['latest', 'moving'],
    ['1', 'moving'],
    ['v1.2', 'moving'],
    ['python3.9', 'moving'],
    ['1.2-python3.9', 'moving'],
    ['2029.1.9', 'other'],
    ['20290109', 'other'],
    ['main', 'other'],
    ['pr-15', 'other'],
    [`sha256-${'a'.repeat(64)}`, 'other'],
  ])('%s is %s', ([tag, kind]) => {
    expect(mobilityOf(tag, { variants: VARIANTS })).toBe(kind);
  });
});
