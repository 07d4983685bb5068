import { randomBytes } from 'node:crypto';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf } from '../../src/digest/index.ts';
import { type ObjectStore, readObject } from '../../src/objects/index.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary-directory.ts';

const signal = new AbortController().signal;
const bytesOf = async (store: ObjectStore, key: string) =>
  Buffer.from((await readObject(store, key, { signal, maxBytes: 1 << 26 })).bytes);

/** What every object store promises. `open` gives a store that is empty and that nobody else uses. */
export function describeObjectStore(name: string, open: () => Promise<ObjectStore>): void {
  describe(`an object store (${name})`, () => {
    let store: ObjectStore;
    let scratch: TemporaryDirectory;
    let count = 0;
    const newKey = () => `things/${++count}.bin`;

    beforeAll(async () => {
      store = await open();
      scratch = await temporaryDirectory('objects');
    });
    afterAll(async () => {
      await store[Symbol.asyncDispose]();
      await scratch[Symbol.asyncDispose]();
    });

    test('an address gives ranges of an object to whoever has it, where there is such a thing', async () => {
      const key = newKey();
      await store.put(key, 'windows and more', { signal });
      const address = await store.readAddress(key, { signal });
      expect(String(address ?? '[redacted]')).toBe('[redacted]');
      if (address === undefined) return;
      const answer = await fetch(address.reveal(), { headers: { range: 'bytes=8-10' } });
      expect(answer.status).toBe(206);
      expect(await answer.text()).toBe('and');
      const forged = address.reveal().replace(/Signature=.{4}/, 'Signature=0000');
      expect((await fetch(forged)).status).toBe(403);
    });

    test('says how another program reads it, and shows no key of it', async () => {
      const key = newKey();
      await store.put(key, 'for a daemon', { signal });
      const access = await store.access({ signal });
      if (access.kind === 'directory') {
        expect(await readFile(join(access.path, key), 'utf8')).toBe('for a daemon');
        return;
      }
      const address = await store.readAddress(key, { signal });
      expect(address?.reveal().split('?')[0]).toBe(`${access.baseUrl}/${access.path}${key}`);
      expect(access.region).not.toBe('');
      expect(JSON.stringify(access)).not.toContain(access.keys.secretAccessKey.reveal());
    });

    test('is there', async () => {
      await store.check({ signal });
    });

    test('gives back what was put, with its size, digest and an etag', async () => {
      const key = newKey();
      const content = randomBytes(100_000);
      const { etag } = await store.put(key, content, { signal });
      const object = await store.get(key, { signal });
      expect(await buffer(object.body)).toEqual(content);
      expect(object).toMatchObject({ sizeBytes: 100_000, offset: 0, etag, sha256: digestOf(content) });
      expect(await store.head(key, { signal })).toEqual({ sizeBytes: 100_000, etag, sha256: digestOf(content) });
    });

    test('keeps an empty object', async () => {
      const key = newKey();
      await store.put(key, '', { signal });
      expect(await bytesOf(store, key)).toEqual(Buffer.alloc(0));
      expect((await store.head(key, { signal }))?.sizeBytes).toBe(0);
    });

    test('replaces an object, which changes its etag', async () => {
      const key = newKey();
      const first = await store.put(key, 'one', { signal });
      const second = await store.put(key, 'two', { signal });
      expect(second.etag).not.toBe(first.etag);
      expect((await bytesOf(store, key)).toString()).toBe('two');
    });

    test('has no object that was not put', async () => {
      expect(await store.head('things/none', { signal })).toBeUndefined();
      await expect(store.get('things/none', { signal })).rejects.toMatchObject({ code: 'STORE_OBJECT_NOT_FOUND' });
      await expect(store.get('things/none/below', { signal })).rejects.toMatchObject({
        code: 'STORE_OBJECT_NOT_FOUND',
      });
    });

    test.for([
      [{ offset: 0, length: 10 }, 0, 10],
      [{ offset: 990, length: 100 }, 990, 1000],
      [{ offset: 5 }, 5, 1000],
      [{ suffixLength: 7 }, 993, 1000],
      [{ suffixLength: 5000 }, 0, 1000],
    ] as const)('range %j is bytes %i to %i', async ([range, start, end]) => {
      const key = newKey();
      const content = randomBytes(1000);
      await store.put(key, content, { signal });
      const object = await store.get(key, { range, signal });
      expect(object).toMatchObject({ sizeBytes: 1000, offset: start });
      expect(await buffer(object.body)).toEqual(content.subarray(start, end));
    });

    test('refuses a range behind the end', async () => {
      const key = newKey();
      await store.put(key, 'short', { signal });
      await expect(store.get(key, { range: { offset: 5 }, signal })).rejects.toMatchObject({
        code: 'STORE_RANGE_INVALID',
      });
    });

    test('lets one of eight racing writers make an object, and keeps the content of that one', async () => {
      const key = newKey();
      const writers = Array.from({ length: 8 }, (_, at) =>
        store.put(key, `writer ${at}`, { ifNoneMatch: '*', signal }),
      );
      const results = await Promise.allSettled(writers);
      const winners = results.flatMap(({ status }, at) => (status === 'fulfilled' ? [at] : []));
      const losers = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
      expect(winners).toHaveLength(1);
      for (const loser of losers) expect(loser).toMatchObject({ code: 'STORE_CONFLICT' });
      expect((await bytesOf(store, key)).toString()).toBe(`writer ${winners[0] ?? ''}`);
    });

    test('lets one of eight racing writers replace the object they all read', async () => {
      const key = newKey();
      const { etag } = await store.put(key, 'start', { signal });
      const writers = Array.from({ length: 8 }, (_, at) => store.put(key, `writer ${at}`, { ifMatch: etag, signal }));
      const results = await Promise.allSettled(writers);
      const winners = results.flatMap(({ status }, at) => (status === 'fulfilled' ? [at] : []));
      expect(
        winners.length,
        'at most one wins; none may, where all writers were told to try again',
      ).toBeLessThanOrEqual(1);
      const content = (await bytesOf(store, key)).toString();
      expect(content).toBe(winners[0] === undefined ? 'start' : `writer ${winners[0]}`);
    });

    test('replaces only the object with the etag it was told', async () => {
      const key = newKey();
      const { etag: old } = await store.put(key, 'one', { signal });
      const { etag } = await store.put(key, 'two', { ifMatch: old, signal });
      await expect(store.put(key, 'three', { ifMatch: old, signal })).rejects.toMatchObject({ code: 'STORE_CONFLICT' });
      expect((await bytesOf(store, key)).toString()).toBe('two');
      await store.put(key, 'four', { ifMatch: etag, signal });
      expect((await bytesOf(store, key)).toString()).toBe('four');
    });

    test('refuses content that is not what its digest says, and leaves no object', async () => {
      const key = newKey();
      const sha256 = digestOf('something else');
      await expect(store.put(key, 'content', { sha256, signal })).rejects.toMatchObject({ code: 'BLOB_MISMATCH' });
      expect(await store.head(key, { signal })).toBeUndefined();
    });

    test.for([1000, 20 * 1024 * 1024])('puts a file of %i bytes, under conditions too', async (sizeBytes) => {
      const key = newKey();
      const content = randomBytes(sizeBytes);
      const path = join(scratch.path, 'file');
      await writeFile(path, content);
      const sha256 = digestOf(content);
      const { etag } = await store.putFile(key, path, {
        ifNoneMatch: '*',
        sha256,
        contentType: 'application/vnd.test',
        signal,
      });
      expect(await store.head(key, { signal })).toEqual({ sizeBytes, etag, sha256 });
      expect(digestOf(await bytesOf(store, key))).toBe(sha256);
      await expect(store.putFile(key, path, { ifNoneMatch: '*', sha256, signal })).rejects.toMatchObject({
        code: 'STORE_CONFLICT',
      });
    });

    test('refuses a large file that is not what its digest says, and leaves no object', async () => {
      const key = newKey();
      const path = join(scratch.path, 'wrong');
      await writeFile(path, randomBytes(20 * 1024 * 1024));
      await expect(store.putFile(key, path, { sha256: digestOf('other'), signal })).rejects.toMatchObject({
        code: 'BLOB_MISMATCH',
      });
      expect(await store.head(key, { signal })).toBeUndefined();
      expect((await stat(path)).size).toBe(20 * 1024 * 1024);
    });

    test('names a file that is not there', async () => {
      await expect(store.putFile(newKey(), join(scratch.path, 'no such file'), { signal })).rejects.toMatchObject({
        code: 'PATH_NOT_FOUND',
      });
    });

    test('lists what starts with a prefix', async () => {
      const keys = Array.from({ length: 30 }, (_, at) => `listed/${at % 3}/${at}.json`);
      for (const key of keys) await store.put(key, key, { signal });
      const listed = async (prefix: string) => {
        const found: string[] = [];
        for await (const { key } of store.list(prefix, { signal })) found.push(key);
        return found.toSorted();
      };
      expect(await listed('listed/')).toEqual(keys.toSorted());
      expect(await listed('listed/1/')).toEqual(keys.filter((key) => key.startsWith('listed/1/')).toSorted());
      expect(await listed('listed/2/1')).toEqual(keys.filter((key) => key.startsWith('listed/2/1')).toSorted());
      expect(await listed('nothing/')).toEqual([]);
    });

    test('lists when an object was put last', async () => {
      const key = newKey();
      const putAt = async () => {
        await store.put(key, 'same', { signal });
        for await (const { modifiedMs } of store.list(key, { signal })) return modifiedMs;
        throw new Error('not listed');
      };
      const first = await putAt();
      expect(Math.abs(first - Date.now())).toBeLessThan(3_600_000);
      expect(await putAt()).toBeGreaterThanOrEqual(first);
    });

    test('deletes an object, and again without complaint', async () => {
      const key = newKey();
      await store.put(key, 'x', { signal });
      await store.delete(key, { signal });
      await store.delete(key, { signal });
      expect(await store.head(key, { signal })).toBeUndefined();
    });

    test('never lets an object be a folder of another', async () => {
      const key = newKey();
      await store.put(`${key}/below`, 'x', { signal });
      await expect(store.put(key, 'x', { signal })).rejects.toMatchObject({ code: 'STORE_CONFLICT' });
      expect((await bytesOf(store, `${key}/below`)).toString()).toBe('x');
    });

    test.for(['', '/a', 'a//b', 'a/../b', '..', './a', 'a/.', '.hidden', 'a\\b', 'a\nb', 'a'.repeat(300), 'a/'])(
      'refuses the key %j',
      async (key) => {
        await expect(store.put(key, 'x', { signal })).rejects.toMatchObject({ code: 'STORE_KEY_INVALID' });
        await expect(store.get(key, { signal })).rejects.toMatchObject({ code: 'STORE_KEY_INVALID' });
      },
    );

    test('stops when it is told to, with the reason it was given', async () => {
      const reason = new Error('enough');
      const aborted = AbortSignal.abort(reason);
      await expect(store.put(newKey(), 'x', { signal: aborted })).rejects.toBe(reason);
      await expect(store.head('things/1.bin', { signal: aborted })).rejects.toBe(reason);
    });

    test('refuses to read a large object into memory', async () => {
      const key = newKey();
      await store.put(key, randomBytes(2000), { signal });
      await expect(readObject(store, key, { maxBytes: 1999, signal })).rejects.toMatchObject({
        code: 'LIMIT_EXCEEDED',
      });
    });
  });
}
