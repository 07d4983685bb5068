import { access, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { digestOf } from '../../../src/digest/index.ts';
import { collectLandings, landingDirectory, listLandings } from '../../../src/jobs/index.ts';
import { planLandings } from '../../../src/jobs/landing-upkeep.ts';
import { OciLayout } from '../../../src/oci/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const { signal } = new AbortController();
const DAY_MS = 24 * 3600 * 1000;
const bounds = { maxBytes: 1000, olderThanMs: 7 * DAY_MS };

/** A layout with one blob of so many bytes, last built into so many days ago. */
async function land(stateDir: string, name: string, bytes: number, daysAgo: number): Promise<OciLayout> {
  const layout = await OciLayout.open(join(landingDirectory(stateDir), name), { create: true, signal });
  const blob = Buffer.alloc(bytes, name);
  await layout.addBlob(blob, { digest: digestOf(blob), sizeBytes: bytes }, { signal });
  await layout.setTag('latest', { mediaType: 'x/y', digest: digestOf(blob), size: bytes }, { signal });
  const at = new Date(Date.now() - daysAgo * DAY_MS);
  await utimes(join(layout.directory, 'index.json'), at, at);
  return layout;
}

test.for<[string, { bytes: number; daysAgo: number }[], number[]]>([
  [
    'nothing when all fits and is young',
    [
      { bytes: 500, daysAgo: 6 },
      { bytes: 500, daysAgo: 0 },
    ],
    [],
  ],
  [
    'what is too old, though it fits',
    [
      { bytes: 1, daysAgo: 8 },
      { bytes: 1, daysAgo: 0 },
    ],
    [0],
  ],
  [
    'the longest unused until the rest fits',
    [
      { bytes: 600, daysAgo: 3 },
      { bytes: 600, daysAgo: 2 },
    ],
    [0],
  ],
  ['the last one too when it alone is too large', [{ bytes: 1001, daysAgo: 0 }], [0]],
])('%s goes', ([, layouts, gone]) => {
  const listings = layouts.map(({ bytes, daysAgo }, at) => ({
    name: String(at),
    bytes,
    lastUsedMs: -daysAgo * DAY_MS,
  }));
  expect(planLandings(listings, bounds, 0).map(({ name }) => Number(name))).toEqual(gone);
});

test('old layouts are emptied, and a build lands there again', async () => {
  await using state = await temporaryDirectory();
  await land(state.path, 'old', 300, 30);
  await land(state.path, 'young', 200, 1);
  expect((await listLandings(state.path)).map(({ bytes, name }) => [name, bytes])).toEqual([
    ['old', 300],
    ['young', 200],
  ]);
  const would = await collectLandings(state.path, { ...bounds, dryRun: true, signal });
  expect(would).toEqual({ removed: ['old'], inUse: [], damaged: [], freedBytes: 300, keptBytes: 200 });
  expect(await listLandings(state.path)).toHaveLength(2);

  expect(await collectLandings(state.path, { ...bounds, signal })).toEqual(would);
  expect((await listLandings(state.path)).map(({ name }) => name)).toEqual(['young']);
  const again = await land(state.path, 'old', 100, 0);
  expect((await again.resolve('latest')).size).toBe(100);
  expect(await again.verify({ signal })).toMatchObject({});
});

test('a layout that a build has stays, whatever the bounds', async () => {
  await using state = await temporaryDirectory();
  const layout = await land(state.path, 'busy', 300, 30);
  const { digest } = await layout.resolve('latest');
  {
    await using _lock = await layout.lock({ signal });
    for (const dryRun of [true, false])
      expect(await collectLandings(state.path, { maxBytes: 0, olderThanMs: 0, dryRun, signal })).toEqual({
        removed: [],
        inUse: ['busy'],
        damaged: [],
        freedBytes: 0,
        keptBytes: 300,
      });
    await access(layout.blobPath(digest));
  }
  expect(await collectLandings(state.path, { maxBytes: 0, olderThanMs: 0, signal })).toMatchObject({
    removed: ['busy'],
  });
  await expect(access(layout.blobPath(digest))).rejects.toThrow();
});

test('a damaged layout is named and does not keep the others', async () => {
  await using state = await temporaryDirectory();
  const { directory } = await land(state.path, 'damaged', 300, 30);
  await writeFile(join(directory, 'oci-layout'), '{}');
  await land(state.path, 'old', 200, 20);
  expect(await collectLandings(state.path, { ...bounds, signal })).toMatchObject({
    removed: ['old'],
    damaged: ['damaged'],
    keptBytes: 300,
  });
});

test('a state directory without builds has none', async () => {
  await using state = await temporaryDirectory();
  expect(await listLandings(state.path)).toEqual([]);
  expect(await collectLandings(state.path, { ...bounds, signal })).toMatchObject({ removed: [], keptBytes: 0 });
});
