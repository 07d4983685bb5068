import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { indexLayer } from '../../../src/portable/index.ts';
import { content, tarStream } from '../../support/corpus/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const { signal } = new AbortController();
const tar = tarStream([{ name: 'a', type: '0', data: content(1, 1000) }]);

async function indexZstd(blob: Buffer) {
  await using directory = await temporaryDirectory('index-layer');
  const path = join(directory.path, 'blob');
  await writeFile(path, blob);
  const mediaType = 'application/vnd.oci.image.layer.v1.tar+zstd';
  return await indexLayer({ path, mediaType }, { chunkBytes: 4096, signal });
}

test('frames without content belong to the span before them, or move the first one', async () => {
  const skippable = Buffer.from('502a4d1803000000616263', 'hex');
  const empty = Buffer.from('28b52ffd2000010000', 'hex');
  const frame = zstdCompressSync(tar);
  const { blobBytes, firstSpan, spans } = await indexZstd(Buffer.concat([skippable, empty, frame, empty, skippable]));
  expect({ blobBytes, firstSpan, spans }).toEqual({
    blobBytes: frame.length + 40,
    firstSpan: 20,
    spans: [{ storedBytes: frame.length + 20, plainBytes: tar.length }],
  });
});

test('a frame that claims content and has none is LAYER_CORRUPT, though the library lets it pass', async () => {
  const claiming = Buffer.from('28b52ffd2001010000', 'hex');
  await expect(indexZstd(Buffer.concat([zstdCompressSync(tar), claiming]))).rejects.toMatchObject({
    code: 'LAYER_CORRUPT',
  });
});

test('a window of 256 MiB is LIMIT_EXCEEDED', async () => {
  await expect(indexZstd(Buffer.from('28b52ffd0090010000', 'hex'))).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
});
