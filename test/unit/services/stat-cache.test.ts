import type { BigIntStats } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { StatCache } from '../../../src/services/context/stat-cache.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const { signal } = new AbortController();
const HOUR_NS = 3_600_000_000_000n;
const base = { dev: 1n, ino: 2n, size: 3n, mtimeNs: 4n * HOUR_NS, ctimeNs: 5n * HOUR_NS };
const stats = (more: Partial<typeof base> = {}) => ({ ...base, ...more }) as unknown as BigIntStats;

async function saved(readAtNs: bigint, of = stats()) {
  const directory = await temporaryDirectory();
  const cache = await StatCache.open(join(directory.path, 'caches'), '/context');
  cache.set(of, 'content', readAtNs);
  await cache.save({ signal });
  return { directory, open: () => StatCache.open(join(directory.path, 'caches'), '/context') };
}

test.for([['dev'], ['ino'], ['size'], ['mtimeNs'], ['ctimeNs']] as const)(
  'another %s is another file',
  async ([field]) => {
    const { directory, open } = await saved(10n * HOUR_NS);
    await using _ = directory;
    const cache = await open();
    expect(cache.get(stats())).toBe('content');
    expect(cache.get(stats({ [field]: base[field] + 1n }))).toBeUndefined();
  },
);

test.for([
  ['mtimeNs', stats({ mtimeNs: 10n * HOUR_NS - 1n })],
  ['ctimeNs', stats({ ctimeNs: 10n * HOUR_NS - 1n })],
] as const)('a file that was just written is not remembered: its next write may have the same %s', async ([, of]) => {
  const { directory, open } = await saved(10n * HOUR_NS, of);
  await using _ = directory;
  expect((await open()).get(of)).toBeUndefined();
});

test('what is no longer asked for is forgotten', async () => {
  const { directory, open } = await saved(10n * HOUR_NS);
  await using _ = directory;
  await (await open()).save({ signal });
  expect((await open()).get(stats())).toBeUndefined();
});
