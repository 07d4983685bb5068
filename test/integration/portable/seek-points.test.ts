import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { parseLayersSection } from '../../../src/archive/index.ts';
import { content, tarEntry, tarStream } from '../../support/corpus/index.ts';
import { byNative, writeStack } from '../../support/engines.ts';
import { requireAgreement } from '../../support/engines-agree.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

/** 1.5 MB with many blocks that refer to what came before them. */
function repetitive(seed: number): Buffer {
  const repeated = content(seed, 500);
  return Buffer.concat(Array.from({ length: 150 }, (_, at) => [content(seed * 1000 + at, 9500), repeated]).flat());
}

test('a foreign gzip layer has seek points in native archives alone and is otherwise the same', async () => {
  await using directory = await temporaryDirectory('seek-points');
  const tar = tarStream([1, 2, 3].map((seed) => tarEntry({ type: '0', name: `file-${seed}`, data: repetitive(seed) })));
  const stack = await writeStack(directory.path, {
    layers: [{ tar, blob: gzipSync(tar), mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip' }],
    config: {},
    annotations: undefined,
    chunkBytes: 262_144,
  });
  expect(await requireAgreement(stack)).toBe('archive');
  const native = await byNative(stack);
  if ('code' in native) throw new Error(native.message);
  const [layer] = parseLayersSection(native.layers);
  expect(layer!.spans.length).toBeGreaterThan(2);
  expect(layer!.seek!.filter(({ windowStoredBytes }) => windowStoredBytes > 0).length).toBeGreaterThan(1);
});
