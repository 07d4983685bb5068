import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/digest/index.ts';
import { WorkerError } from '../../../src/errors/index.ts';
import { movePointer, type PointerContent, putOnce, readPointer, storeKeys } from '../../../src/jobs/publish.ts';
import { type ObjectStore, openStore } from '../../../src/objects/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const signal = AbortSignal.timeout(20_000);
const key = storeKeys.pointer('team', 'web');

function contentOf(name: string): PointerContent {
  const digest = digestOf(name);
  const archive = { digest, sizeBytes: 1, storageRef: `r/a:${name}`, footerDigest: digest, manifestDigest: digest };
  return { indexDigest: digest, archives: { 'linux/amd64': archive } };
}

describe('the pointer', () => {
  test('begins at generation 1 and counts up', async () => {
    await using directory = await temporaryDirectory();
    await using store = openStore(`file://${directory.path}`, {});
    expect(await readPointer(store, key, { signal })).toBeUndefined();
    expect((await movePointer(store, key, undefined, contentOf('a'), { signal })).generation).toBe(1);
    const before = await readPointer(store, key, { signal });
    expect((await movePointer(store, key, before, contentOf('b'), { signal })).generation).toBe(2);
    expect((await readPointer(store, key, { signal }))?.pointer).toMatchObject(contentOf('b'));
  });

  test('stays when the build gave what it names already', async () => {
    await using directory = await temporaryDirectory();
    await using store = openStore(`file://${directory.path}`, {});
    await movePointer(store, key, undefined, contentOf('a'), { signal });
    const before = await readPointer(store, key, { signal });
    expect((await movePointer(store, key, before, contentOf('a'), { signal })).generation).toBe(1);
    expect((await readPointer(store, key, { signal }))?.etag).toBe(before?.etag);
  });

  test.for(['another content', 'the same content'])(
    'is lost to a build that moved it meanwhile, with %s',
    async (what) => {
      await using directory = await temporaryDirectory();
      await using store = openStore(`file://${directory.path}`, {});
      await movePointer(store, key, undefined, contentOf('a'), { signal });
      const before = await readPointer(store, key, { signal });
      await movePointer(store, key, before, contentOf('faster'), { signal });
      const slower = contentOf(what === 'the same content' ? 'a' : 'slower');
      await expect(movePointer(store, key, before, slower, { signal })).rejects.toMatchObject({
        code: 'FENCE_LOST',
        details: { generation: 2 },
      });
      expect((await readPointer(store, key, { signal }))?.pointer).toMatchObject(contentOf('faster'));
    },
  );

  test('a PUT whose answer was lost is recognised as our own', async () => {
    await using directory = await temporaryDirectory();
    await using store = openStore(`file://${directory.path}`, {});
    await movePointer(store, key, undefined, contentOf('a'), { signal });
    expect((await movePointer(store, key, undefined, contentOf('a'), { signal })).generation).toBe(1);
  });

  test('a read that is stopped in the middle is stopped, and no damaged pointer', async () => {
    const stop = new AbortController();
    const body = Readable.from(
      (async function* () {
        yield Buffer.from('{"version":');
        stop.abort();
        await sleep(60_000, undefined, { signal: stop.signal });
      })(),
    );
    const get = () => Promise.resolve({ body, etag: 'e', sizeBytes: 100, offset: 0, metadata: {} });
    const slow = { get, urlOf: (name: string) => name } as unknown as ObjectStore;
    await expect(readPointer(slow, key, { signal: stop.signal })).rejects.toMatchObject({ name: 'AbortError' });
  });

  test('an object that is no pointer is STORE_PROTOCOL', async () => {
    await using directory = await temporaryDirectory();
    await using store = openStore(`file://${directory.path}`, {});
    await store.put(key, '{"version":9}', { signal });
    await expect(readPointer(store, key, { signal })).rejects.toMatchObject({ code: 'STORE_PROTOCOL' });
  });
});

describe('an object that is put once', () => {
  const conflict = () => Promise.reject(new WorkerError('STORE_CONFLICT', 'it is there'));
  const want = { key: 'archives/x.clip', sizeBytes: 5 };

  test('is sent when it is new', async () => {
    expect(
      await putOnce(
        () => Promise.resolve(),
        () => Promise.resolve(0),
        want,
      ),
    ).toBe('sent');
  });

  test('is present when one of its size is there', async () => {
    expect(await putOnce(conflict, () => Promise.resolve(5), want)).toBe('present');
  });

  test('is refused when one of another size is there', async () => {
    await expect(putOnce(conflict, () => Promise.resolve(4), want)).rejects.toMatchObject({ code: 'STORE_PROTOCOL' });
  });
});
