import { join } from 'node:path';
import { expect, test } from 'vitest';
import { fileSource, openArchive } from '../../../src/archive/index.ts';
import { messageOf, WorkerError } from '../../../src/errors/index.ts';
import { randomLayers } from '../../support/corpus/index.ts';
import { layoutOf, makeArchive, verifyArchive } from '../../support/native/index.ts';
import {
  compareTrees,
  snapshotNodes,
  snapshotTree,
  type TreeSnapshot,
  umociUnpack,
} from '../../support/oracle/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const { signal } = new AbortController();
const CASES = 60;

/** A tree, or why there is none. */
type Outcome = { readonly tree: TreeSnapshot } | { readonly failure: string };

async function byUmoci(dir: string, layout: string): Promise<Outcome> {
  try {
    return { tree: await snapshotTree(await umociUnpack(layout, join(dir, 'bundle'))) };
  } catch (thrown) {
    return { failure: messageOf(thrown) };
  }
}

async function byClipyard(dir: string, layout: Awaited<ReturnType<typeof layoutOf>>): Promise<Outcome> {
  try {
    const { path } = await makeArchive(layout, { dir, codec: 'zstd', name: 'random' });
    await verifyArchive(path); // the metadata image holds the tree that the node list holds
    await using source = await fileSource(path);
    const archive = await openArchive(source, { signal });
    return { tree: snapshotNodes(await archive.nodes({ signal })) };
  } catch (thrown) {
    if (thrown instanceof WorkerError) return { failure: thrown.code };
    throw thrown;
  }
}

/** Paths with a time of the unpacking itself: umoci made or touched them without an entry. */
function touchedSince(tree: TreeSnapshot, startNs: bigint): ReadonlySet<string> {
  return new Set([...tree].filter(([, { mtimeNs }]) => mtimeNs >= startNs).map(([path]) => path));
}

test('random layers merge to the tree that umoci unpacks, and both refuse the same ones', async () => {
  const unpacked: number[] = [];
  for (let seed = 1; seed <= CASES; seed += 1) {
    await using directory = await temporaryDirectory('random');
    const layout = await layoutOf(directory.path, randomLayers(seed));
    const startNs = BigInt(Date.now()) * 1_000_000n;
    const umoci = await byUmoci(directory.path, layout.dir);
    const ours = await byClipyard(directory.path, layout);
    if ('failure' in umoci || 'failure' in ours) {
      expect(
        'failure' in umoci && 'failure' in ours,
        `seed ${seed}: ${JSON.stringify([umoci, ours].map((outcome) => ('failure' in outcome ? outcome.failure : 'a tree')))}`,
      ).toBe(true);
      continue;
    }
    unpacked.push(seed);
    const differences = compareTrees(umoci.tree, ours.tree, {
      times: touchedSince(umoci.tree, startNs),
      fields: ['xattrs', 'sha256'],
    });
    expect(differences, `seed ${seed}`).toEqual([]);
  }
  expect(unpacked.length).toBeGreaterThan(CASES / 3);
});
