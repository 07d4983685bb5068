import { describe, expect, test } from 'vitest';
import { storedSize } from '../../../src/cli/stored-size.ts';
import { digestOf } from '../../../src/digest/index.ts';
import { calculateTags, PRESETS, type PresetName, parseTagContext } from '../../../src/release/index.ts';

const IMAGE = 'ghcr.io/deeplearnphysics/spinal-tap';

function tagsOf(preset: PresetName, event: object): readonly string[] {
  const context = parseTagContext(JSON.stringify({ event: 'push', default_branch: 'main', ...event }), new Date(0));
  const asked = { labels: [], annotations: [], shortShaLength: 7, prHeadSha: false };
  return calculateTags({ ...asked, ...PRESETS[preset], images: [IMAGE] }, context).tags;
}

describe('when something is published', () => {
  test('R002-6: a version tag gives the exact version, its minor line and latest', () => {
    expect(tagsOf('tags-only', { ref: 'refs/tags/v0.1.1' })).toEqual([
      `${IMAGE}:0.1.1`,
      `${IMAGE}:0.1`,
      `${IMAGE}:latest`,
    ]);
  });

  test('R002-7: pinned, following the minor line, following latest', () => {
    const [older, newer] = ['v0.1.1', 'v0.1.2'].map((tag) => tagsOf('tags-only', { ref: `refs/tags/${tag}` }));
    const shared = older?.filter((tag) => newer?.includes(tag));
    expect(shared).toEqual([`${IMAGE}:0.1`, `${IMAGE}:latest`]);
  });

  test('R002-1, R002-4, R002-5: version tags, pull requests and manual runs; not a push to main', () => {
    expect(tagsOf('tags-only', { ref: 'refs/heads/main' })).toEqual([]);
    expect(tagsOf('tags-only', { event: 'workflow_dispatch', ref: 'refs/tags/v0.1.1' })).toHaveLength(3);
    expect(tagsOf('tags-only', { event: 'pull_request', ref: 'refs/pull/7/merge' })).toEqual([`${IMAGE}:pr-7`]);
  });

  test('R002-12: the hybrid publishes main and version tags', () => {
    expect(tagsOf('main-and-tags', { ref: 'refs/heads/main' })).toEqual([`${IMAGE}:latest-dev`]);
    expect(tagsOf('main-and-tags', { ref: 'refs/tags/v0.1.1' })).toEqual([`${IMAGE}:0.1.1`, `${IMAGE}:latest`]);
    expect(tagsOf('main-and-tags', { ref: 'refs/heads/feature' })).toEqual([]);
  });
});

test('R002-16: what images take in the registry counts a shared layer once', () => {
  const layer = (name: string, sizeBytes: number) => ({
    digest: digestOf(Buffer.from(name)),
    diffId: digestOf(Buffer.from(name)),
    mediaType: '',
    sizeBytes,
    plainBytes: 0,
    packed: 'new' as const,
    pushed: 'sent' as const,
  });
  const base = layer('base', 150_000_000);
  const builds = [{ layers: [base, layer('one', 10)] }, { layers: [base, layer('other', 20)] }];
  expect(storedSize(builds)).toEqual({ layers: 3, bytes: 150_000_030 });
});
