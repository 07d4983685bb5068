import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { digestOfHex } from '../../digest/index.ts';
import type { Cancelable } from '../../errors/index.ts';
import {
  canonicalJson,
  type Descriptor,
  layerCodecOf,
  MAX_MANIFEST_BYTES,
  MEDIA_TYPES,
  type OciLayout,
  parseManifest,
} from '../../oci/index.ts';
import { readTar } from '../../portable/index.ts';
import type { PlacedImage } from './place-image.ts';

/**
 * The same image in the same layout with every layer as registries mostly hold it: gzip, one member, level 6. For readers that
 * know nothing else. Gives its manifest.
 */
export async function gzipCopy({ layout, manifest }: PlacedImage, { signal }: Cancelable): Promise<Descriptor> {
  const parsed = parseManifest(await layout.readBlob(manifest, { maxBytes: MAX_MANIFEST_BYTES, signal }));
  const layers: Descriptor[] = [];
  for (const layer of parsed.layers)
    layers.push(layerCodecOf(layer.mediaType) === 'gzip' ? layer : await squeezed(layout, layer, signal));
  const bytes = canonicalJson({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: parsed.config,
    layers,
  });
  return await layout.putManifest(Buffer.from(bytes), MEDIA_TYPES.ociManifest, { signal });
}

async function squeezed(
  layout: OciLayout,
  { digest, mediaType, size }: Descriptor,
  signal: AbortSignal,
): Promise<Descriptor> {
  const blob = { path: layout.blobPath(digest), mediaType, expected: { digest, sizeBytes: size } };
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const meter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      sizeBytes += chunk.length;
      done(undefined, chunk);
    },
  });
  const path = await layout.temporaryPath('gzip');
  await pipeline(
    Readable.from(readTar(blob, { onEntry: () => undefined, signal })),
    createGzip({ level: 6, chunkSize: 256 * 1024 }),
    meter,
    createWriteStream(path),
    { signal },
  );
  const stored = { digest: digestOfHex(hash.digest('hex')), sizeBytes };
  await layout.adoptFile(path, stored);
  return { mediaType: MEDIA_TYPES.ociLayerGzip, digest: stored.digest, size: sizeBytes };
}
