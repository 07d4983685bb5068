import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, describe as group, test } from 'vitest';
import {
  bytesSource,
  fetchForMount,
  fileSource,
  openArchive,
  type RangeSource,
  readDocuments,
} from '../../../src/archive/index.ts';
import { digestOf } from '../../../src/digest/index.ts';
import { content } from '../../support/corpus/index.ts';
import { configSection, FIXTURES, LAYER, layersSection, sectionedArchive, smallArchive } from './sectioned.ts';

const { signal } = new AbortController();
let dir = '';
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'clipyard-fetch-'));
});
afterEach(() => rm(dir, { recursive: true }));

/** A source that remembers what was asked of it. */
function recorded(bytes: Buffer): { source: RangeSource; reads: [number, number][] } {
  const reads: [number, number][] = [];
  const source = bytesSource(bytes);
  return {
    reads,
    source: {
      ...source,
      read: (offset, length, options) => {
        reads.push([offset, length]);
        return source.read(offset, length, options);
      },
    },
  };
}

/** An archive whose tail does not hold all that a mount needs. */
function largeArchive(): Buffer {
  return sectionedArchive([
    { type: 5, plain: configSection('{}', '{}') },
    { type: 3, plain: content(1, 3 * 2 ** 20), encoding: 0, flags: 0 },
    { type: 4, plain: content(2, 2 ** 20 + 5), encoding: 0 },
    { type: 2, plain: layersSection([LAYER]) },
    { type: 1, plain: content(3, 700_000) },
  ]);
}

group('fetching what a mount needs', () => {
  test('says ARCHIVE_NOT_LAZY for an archive without a metadata image', async () => {
    const bytes = sectionedArchive([
      { type: 5, plain: configSection('{}', '{}') },
      { type: 2, plain: layersSection([LAYER]) },
    ]);
    const refused = { code: 'ARCHIVE_NOT_LAZY', message: expect.stringContaining('--engine native') as string };
    await expect(fetchForMount(bytesSource(bytes), join(dir, 'part.clip'), { signal })).rejects.toMatchObject(refused);
    await expect(readDocuments(bytesSource(bytes), { signal })).rejects.toMatchObject(refused);
  });

  test('takes one request for a small archive and keeps the places of the parts', async () => {
    const bytes = smallArchive();
    const { source, reads } = recorded(bytes);
    const out = join(dir, 'part.clip');
    const { footer, requests, fetchedBytes } = await fetchForMount(source, out, { signal });
    expect({ requests, fetchedBytes, reads }).toEqual({
      requests: 1,
      fetchedBytes: bytes.length,
      reads: [[0, bytes.length]],
    });
    const part = await readFile(out);
    expect(part.length).toBe(bytes.length);
    const start = footer.sections[0]!.offset;
    expect(part.subarray(start)).toEqual(bytes.subarray(start));
    expect(part.subarray(0, start).every((byte) => byte === 0)).toBe(true);
  });

  test('leaves the CLIP part of a large archive where it is', async () => {
    const bytes = largeArchive();
    const out = join(dir, 'part.clip');
    const { footer, requests, fetchedBytes } = await fetchForMount(bytesSource(bytes), out, { signal });
    const [config] = footer.sections;
    expect(requests).toBe(4); // tail, config, seek, what the tail does not hold of extra
    expect(fetchedBytes).toBe(bytes.length - config!.offset);
    const part = await readFile(out);
    expect(part.subarray(config!.offset)).toEqual(bytes.subarray(config!.offset));
    expect(part.subarray(0, config!.offset).every((byte) => byte === 0)).toBe(true);
    expect(part.length).toBe(bytes.length);
  });

  test('gives a file from which documents and storage reference can be read', async () => {
    const out = join(dir, 'part.clip');
    await fetchForMount(bytesSource(smallArchive()), out, { signal });
    await using part = await fileSource(out);
    const { config, storage } = await readDocuments(part, { signal });
    expect(config.toString()).toBe('{"c":1}');
    expect(storage).toEqual({ registry: '127.0.0.1:5000', repository: 'a/b', digest: digestOf('{"m":1}') });
  });

  test('accepts the footer that was named and refuses another with ARCHIVE_MISMATCH', async () => {
    const bytes = smallArchive();
    const { footer } = await openArchive(bytesSource(bytes), { signal });
    await fetchForMount(bytesSource(bytes), join(dir, 'a'), { signal, expectedFooterDigest: footer!.digest });
    const other = fetchForMount(bytesSource(bytes), join(dir, 'b'), {
      signal,
      expectedFooterDigest: digestOf('other'),
    });
    await expect(other).rejects.toMatchObject({ code: 'ARCHIVE_MISMATCH' });
    expect(await readdir(dir)).toEqual(['a']);
  });

  test('leaves nothing behind when a section is damaged', async () => {
    const bytes = largeArchive();
    const { footer } = await openArchive(bytesSource(bytes), { signal });
    for (const { offset, storedBytes } of footer!.sections) {
      for (const at of [offset, offset + storedBytes]) {
        const flipped = Buffer.from(bytes);
        flipped[at]! ^= 4;
        await expect(fetchForMount(bytesSource(flipped), join(dir, 'part'), { signal })).rejects.toMatchObject({
          code: 'ARCHIVE_CORRUPT',
        });
      }
    }
    expect(await readdir(dir)).toEqual([]);
  });

  test('leaves nothing behind when it is canceled on the way', async () => {
    const abort = new AbortController();
    const { source } = recorded(largeArchive());
    let reads = 0;
    const stopping: RangeSource = {
      ...source,
      read: (offset, length, options) => {
        reads += 1;
        if (reads === 2) abort.abort();
        return source.read(offset, length, options);
      },
    };
    await expect(fetchForMount(stopping, join(dir, 'part'), { signal: abort.signal })).rejects.toThrow();
    expect(await readdir(dir)).toEqual([]);
  });

  test('says ARCHIVE_NOT_LAZY for a plain CLIP archive and ARCHIVE_NOT_CLIP for anything else', async () => {
    const plain = await readFile(join(FIXTURES, 'sample/image.clip'));
    await expect(fetchForMount(bytesSource(plain), join(dir, 'x'), { signal })).rejects.toMatchObject({
      code: 'ARCHIVE_NOT_LAZY',
    });
    await expect(fetchForMount(bytesSource(Buffer.alloc(9000)), join(dir, 'x'), { signal })).rejects.toMatchObject({
      code: 'ARCHIVE_NOT_CLIP',
    });
    await expect(fetchForMount(bytesSource(Buffer.alloc(0)), join(dir, 'x'), { signal })).rejects.toMatchObject({
      code: 'ARCHIVE_NOT_CLIP',
    });
    await expect(
      fetchForMount(bytesSource(smallArchive().subarray(0, 9000)), join(dir, 'x'), { signal }),
    ).rejects.toMatchObject({ code: 'ARCHIVE_TRUNCATED' });
  });
});
