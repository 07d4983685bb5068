import { describe, expect, test } from 'vitest';
import type { Digest } from '../../../src/digest/index.ts';
import { decide, type Facts } from '../../../src/services/decide/decide.ts';
import { isSameImage, type RemoteImage } from '../../../src/services/decide/image-facts.ts';

const [A, B, C] = ['a', 'b', 'c'].map((letter) => `sha256:${letter.repeat(64)}`) as [Digest, Digest, Digest];
const HASH = 'sha256:now';
const local = { digest: A, configDigest: undefined, contextHash: HASH, isKept: true };
const at = (tag: string, digest: Digest, contextHash?: string): RemoteImage => ({
  tag,
  state: 'present',
  digest,
  contextHash,
});
const facts = (more: Partial<Facts> = {}): Facts => ({
  service: 'frontend',
  force: false,
  diffCheck: true,
  push: true,
  version: undefined,
  contextHash: HASH,
  unknownBases: [],
  local,
  localInRegistry: at('latest', A),
  remotes: [at('latest', A)],
  ...more,
});

describe('R003-25: each layer decides once', () => {
  test.for<[what: string, facts: Facts, action: string, layer: string]>([
    ['R003-6: --force', facts({ force: true }), 'build', 'force'],
    ['no image', facts({ local: undefined, remotes: [{ tag: 'latest', state: 'absent' }] }), 'build', 'existence'],
    ['no image, and no registry asked', facts({ local: undefined, push: false, remotes: [] }), 'build', 'existence'],
    [
      'D15: an unknown registry is not an absent image',
      facts({ local: undefined, remotes: [{ tag: 'latest', state: 'unknown', reason: '503' }] }),
      'build',
      'existence',
    ],
    [
      'R003-7: --no-diff-check',
      facts({ diffCheck: false, contextHash: undefined, push: false, remotes: [] }),
      'skip',
      'no-diff-check',
    ],
    ['an unknown base', facts({ unknownBases: ['debian: 429'] }), 'build', 'bases'],
    ['another context', facts({ contextHash: 'sha256:new' }), 'build', 'context-hash'],
    ['the same context', facts({ push: false, remotes: [] }), 'skip', 'context-hash'],
    [
      'the label of the registry, on a fresh machine',
      facts({ local: undefined, remotes: [at('latest', B, HASH)] }),
      'skip',
      'registry-digest',
    ],
    ['another label', facts({ local: undefined, remotes: [at('latest', B, 'sha256:old')] }), 'build', 'label'],
    ['equal digests', facts(), 'skip', 'registry-digest'],
    ['other digests', facts({ remotes: [at('latest', B)] }), 'push-only', 'registry-digest'],
    [
      'a tag that is not there yet',
      facts({ version: '1.0.0', remotes: [{ tag: '1.0.0', state: 'absent' }, at('latest', A)] }),
      'push-only',
      'registry-digest',
    ],
    [
      'bytes that are nowhere',
      facts({
        local: { ...local, isKept: false },
        localInRegistry: { tag: A, state: 'absent' },
        remotes: [at('latest', B)],
      }),
      'build',
      'existence',
    ],
    [
      'a version of other sources',
      facts({ version: '1.0.0', remotes: [at('1.0.0', C, 'sha256:old'), at('latest', A)] }),
      'refuse',
      'label',
    ],
    [
      'a version of these sources',
      facts({ version: '1.0.0', local: undefined, remotes: [at('1.0.0', C, HASH), at('latest', B)] }),
      'push-only',
      'registry-digest',
    ],
  ])('%s', ([, given, action, layer]) => {
    const decision = decide(given);
    expect([decision.action, decision.layer]).toEqual([action, layer]);
    expect(decision.reason).not.toBe('');
  });
});

test('D15: bytes that a registry does not speak of are no absent ones: they are built, and the reason is said', () => {
  const decision = decide(
    facts({
      local: { ...local, isKept: false },
      localInRegistry: { tag: A, state: 'unknown', reason: '403' },
      remotes: [{ tag: 'latest', state: 'unknown', reason: '503' }],
    }),
  );
  expect([decision.action, decision.layer]).toEqual(['build', 'existence']);
  expect(decision.reason).toContain('could not be asked');
  expect(decision.reason).not.toContain('nor in the registry');
  expect(decision.unanswered).toEqual([
    'The registry could not be asked for latest: 503',
    `The registry could not be asked for ${A}: 403`,
  ]);
});

test('R003-26: an image that is up to date says so', () => {
  expect(decide(facts()).found.slice(-2)).toEqual([
    'Local and remote digests match for frontend',
    'Image frontend is up to date, skipping build',
  ]);
});

test('R003-27: a changed context says so', () => {
  expect(decide(facts({ service: 'backend', contextHash: 'sha256:new' })).found).toContain(
    'Build context hash changed for backend',
  );
});

test('R003-23: images are the same by repository digest, else by configuration', () => {
  expect(isSameImage({ digest: A, configDigest: C }, { digest: A })).toBe(true);
  expect(isSameImage({ digest: A, configDigest: C }, { digest: B, configDigest: C })).toBe(true);
  expect(isSameImage({ digest: A, configDigest: undefined }, { digest: B, configDigest: undefined })).toBe(false);
});

test('C8: --force builds, but a version of other sources is refused before', () => {
  const released = facts({ force: true, version: '1.0.0', remotes: [at('1.0.0', C, 'sha256:old'), at('latest', A)] });
  expect(decide(released).action).toBe('refuse');
  expect(decide({ ...released, push: false }).action).toBe('build');
});

test('a released image goes before the one that was built here', () => {
  const both = facts({ version: '1.0.0', remotes: [at('1.0.0', C, HASH), at('latest', A)] });
  expect(decide(both).image).toEqual({ digest: C, from: 'registry' });
});
