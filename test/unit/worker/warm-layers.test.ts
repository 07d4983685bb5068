import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { BuildResult } from '../../../src/jobs/index.ts';
import { WarmLayers } from '../../../src/worker/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const { signal } = new AbortController();
const resultOf = (kept: readonly string[], made: readonly string[] = []) =>
  ({
    layers: [
      ...kept.map((digest) => ({ digest, packed: 'kept' })),
      ...made.map((digest) => ({ digest, packed: 'new' })),
    ],
  }) as unknown as BuildResult;

test('a worker advertises the base layers it used last, also after a restart', async () => {
  await using scratch = await temporaryDirectory('warm');
  const path = join(scratch.path, 'warm-layers.json');
  const warm = await WarmLayers.open(path);
  expect(warm.digests).toEqual([]);
  await warm.used(resultOf(['a', 'b'], ['made here']), { signal });
  await warm.used(resultOf(['c', 'a']), { signal });
  expect(warm.digests).toEqual(['b', 'c', 'a']);
  expect((await WarmLayers.open(path)).digests).toEqual(['b', 'c', 'a']);
  // As many as an advertisement carries; the longest unused goes first.
  await warm.used(resultOf(Array.from({ length: 499 }, (_, at) => `n${at}`)), { signal });
  expect([warm.digests.length, warm.digests[0], warm.digests[1]]).toEqual([500, 'a', 'n0']);
});

test('a damaged list is an empty one', async () => {
  await using scratch = await temporaryDirectory('warm');
  const path = join(scratch.path, 'warm-layers.json');
  for (const text of ['{', '{"a":1}', '[1]', '']) {
    await writeFile(path, text);
    expect((await WarmLayers.open(path)).digests).toEqual([]);
  }
});
