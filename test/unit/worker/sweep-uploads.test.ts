import { utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Digest, digestOf } from '../../../src/digest/index.ts';
import { openStore } from '../../../src/objects/index.ts';
import { contextKey, requireContext, storeContext } from '../../../src/worker/intake/context-store.ts';
import { sweepUploads } from '../../../src/worker/intake/sweep-uploads.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const { signal } = new AbortController();
const HOUR_MS = 3_600_000;
const age = { keepUploadsMs: 10 * HOUR_MS, now: () => Date.now() };

test('an old upload goes unless a build that has not ended needs it, and one that is used again stays', async () => {
  await using scratch = await temporaryDirectory('sweep');
  await using store = openStore(`file://${scratch.path}/store`, {});
  const upload = async (content: string) => {
    const bytes = async function* () {
      yield await Promise.resolve(Buffer.from(content));
    };
    const requireRoom = () => Promise.resolve();
    const options = { ...age, maxBytes: 1000, requireRoom, scratchDir: join(scratch.path, 'scratch'), store, signal };
    return (await storeContext('w', bytes(), options)).digest;
  };
  const makeOlder = async (key: string, hours: number) => {
    const at = new Date(Date.now() - hours * HOUR_MS);
    await utimes(join(scratch.path, 'store', key), at, at);
  };
  const isThere = async (key: string) => (await store.head(key, { signal })) !== undefined;
  const isTaken = (digest: Digest) =>
    requireContext('w', digest, { ...age, store, signal }).then(
      () => true,
      (thrown: unknown) => {
        expect(thrown).toMatchObject({ code: 'UPLOAD_NOT_FOUND' });
        return false;
      },
    );
  const sweep = (...specs: readonly object[]) => {
    const openSpecs = async function* () {
      yield* await Promise.resolve(specs as never[]);
    };
    return sweepUploads({ ...age, queue: { openSpecs }, store, signal });
  };
  const [forgotten, waiting, named, young] = (await Promise.all(['a', 'b', 'c', 'd'].map(upload))) as [
    ...[Digest, Digest, Digest, Digest],
  ];
  const own = 'contexts/w/our-own.tar';
  await store.put(own, 'put here by somebody', { signal });
  for (const key of [...[forgotten, waiting, named].map((digest) => contextKey('w', digest)), own])
    await makeOlder(key, 11);
  await makeOlder(contextKey('w', young), 8);

  const specs = [
    { context: { type: 'uploaded', digest: waiting } },
    { context: { type: 'inline' }, namedContexts: { more: `uploaded:${named}` } },
  ];
  expect(await sweep(...specs)).toBe(1);
  expect(await isThere(contextKey('w', forgotten))).toBe(false);
  for (const digest of [waiting, named, young]) expect(await isThere(contextKey('w', digest))).toBe(true);
  expect(await isThere(own)).toBe(true);

  // What may go while a build waits is not taken for one; uploaded again it is new.
  expect(await isTaken(young)).toBe(true);
  await makeOlder(contextKey('w', young), 9.5);
  expect(await isTaken(young)).toBe(false);
  expect(await upload('d')).toBe(young);
  expect(await isTaken(young)).toBe(true);
  expect(await sweep()).toBe(2);
  expect(await isThere(contextKey('w', young))).toBe(true);
  expect(digestOf(Buffer.from('d'))).toBe(young);
});
