import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DEFAULT_LIMITS } from '../../../src/config/index.ts';
import type { PackCache } from '../../../src/indexer/index.ts';
import { type PackedLayer, packKeyOf, packStep } from '../../../src/jobs/pack-step.ts';
import { cacheOf, indexOf, packOf } from '../../support/pack-cache.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'];
const rules = {
  encoders: { index: 'index-1', none: 'none' },
  compression: { codec: 'none', level: 0, chunkBytes: 262_144 },
  keepAll: true,
} as const;
const layers = names.map((name) => {
  const { layer } = packOf(name, 'keep');
  return {
    descriptor: { digest: layer.digest, mediaType: layer.mediaType, size: layer.sizeBytes },
    diffId: layer.diffId,
  };
});

let directory: TemporaryDirectory;
let cache: PackCache;
beforeAll(async () => {
  directory = await temporaryDirectory();
  cache = await cacheOf(directory.path, 'job');
  for (const name of names) {
    const { layer } = packOf(name, 'keep');
    const { index } = await cache.scratch();
    await writeFile(index, indexOf(name));
    await cache.put(packKeyOf(layer.digest, 'zstd', rules), layer, { index });
  }
});
afterAll(async () => {
  await directory[Symbol.asyncDispose]();
});

const step = (inRegistry: (at: number) => Promise<boolean>) =>
  packStep(layers, {
    ...rules,
    cache,
    tools: { directories: [] },
    jobs: 1,
    limits: DEFAULT_LIMITS,
    useCache: true,
    sourceOf: () => Promise.resolve(undefined),
    inRegistry: ({ digest }) => inRegistry(layers.findIndex(({ descriptor }) => descriptor.digest === digest)),
    report: () => undefined,
    signal: AbortSignal.timeout(60_000),
  });

async function all(step: ReturnType<typeof packStep>): Promise<readonly PackedLayer[]> {
  const found: PackedLayer[] = [];
  for await (const layer of step) found.push(layer);
  return found;
}

test('cached layers are looked up four at once, and come in the order of the manifest', async () => {
  let running = 0;
  let most = 0;
  const found = await all(
    step(async (at) => {
      most = Math.max(most, ++running);
      await sleep(10 - at); // the last are the quickest
      running--;
      return true;
    }),
  );
  expect(found.map(({ source }) => source.digest)).toEqual(layers.map(({ descriptor }) => descriptor.digest));
  expect(most).toBe(4);
});

test('a lookup that fails ends the step, and no other begins', async () => {
  const asked: number[] = [];
  const failing = all(
    step((at) => {
      asked.push(at);
      return at === 1 ? Promise.reject(new Error('no registry')) : Promise.resolve(true);
    }),
  );
  await expect(failing).rejects.toThrow('no registry');
  const askedThen = asked.length;
  await sleep(20);
  expect(asked.length).toBe(askedThen);
});

test('who stops listening waits for the lookups that run, and for no others', async () => {
  let running = 0;
  for await (const _ of step(async () => {
    running++;
    await sleep(5);
    running--;
    return true;
  }))
    break;
  expect(running).toBe(0);
});
