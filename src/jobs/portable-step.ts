import type { Limits } from '../config/index.ts';
import type { Digest } from '../digest/index.ts';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import type { AssembleResult, LayerResult } from '../indexer/index.ts';
import type { Descriptor, OciLayout } from '../oci/index.ts';
import { type IndexedLayer, indexLayer, writePortableArchive } from '../portable/index.ts';
import type { ArchiveRequest } from './archive-step.ts';
import type { JobReporter } from './events.ts';

export interface PortableStepOptions extends Cancelable {
  readonly chunkBytes: number;
  readonly limits: Limits;
  readonly report: JobReporter;
}

export interface PortableStepResult {
  readonly result: AssembleResult;
  /** In manifest order. Nothing is cached: an index of this engine lives in memory. */
  readonly layers: readonly { readonly layer: LayerResult; readonly fromCache: false }[];
}

/** Indexes the layers of a layout one after the other in TypeScript, and writes their archive. */
export async function portableStep(
  wanted: Omit<ArchiveRequest, 'layers' | 'format'>,
  planned: readonly { readonly descriptor: Descriptor; readonly diffId: Digest }[],
  layout: OciLayout,
  options: PortableStepOptions,
): Promise<PortableStepResult> {
  const { chunkBytes, limits, report, signal } = options;
  const indexed = new Map<Digest, IndexedLayer>();
  for (const { descriptor, diffId } of planned) {
    const { digest, mediaType, size: sizeBytes } = descriptor;
    if (indexed.has(digest)) continue;
    const onProgress = (doneBytes: number) => {
      report({ type: 'packing', id: digest, doneBytes, totalBytes: sizeBytes });
    };
    const blob = { path: layout.blobPath(digest), mediaType, diffId, expected: { digest, sizeBytes } };
    const layer = await indexLayer(blob, { chunkBytes, limits, signal, onProgress });
    indexed.set(digest, layer);
    report({ type: 'layer', digest, diffId, packed: 'kept', plainBytes: layer.plainBytes, sizeBytes });
  }
  const layers = planned.map(({ descriptor }) => found(indexed, descriptor.digest));
  const { configBytes, imageName, manifest, output, registry, repository } = wanted;
  const result = await writePortableArchive(
    {
      output,
      layers,
      config: configBytes,
      manifest: manifest.bytes,
      storage: { registry, repository, reference: manifest.digest },
      imageName,
    },
    { signal },
  );
  return {
    result: { ...result, sections: [...result.sections], warnings: { ...result.warnings } },
    layers: layers.map((layer) => ({ layer: resultOf(layer), fromCache: false })),
  };
}

function found(indexed: ReadonlyMap<Digest, IndexedLayer>, digest: Digest): IndexedLayer {
  const layer = indexed.get(digest);
  if (layer === undefined) throw new WorkerError('INTERNAL', `layer ${digest} was not indexed`);
  return layer;
}

function resultOf({ blobBytes, chunks, codec, entries, spans, warnings, ...layer }: IndexedLayer): LayerResult {
  const { diffId, digest, mediaType, plainBytes } = layer;
  return {
    digest,
    diffId,
    mediaType,
    plainBytes,
    sizeBytes: blobBytes,
    entries: entries.length,
    chunks: chunks.length,
    spans: spans.length,
    format: layer.format,
    ...(layer.ignoredSeekTable && { ignoredSeekTable: true }),
    seekable: spans.length > 1 || chunks.length <= 1 || codec === 'plain',
    warnings: { ...warnings },
  };
}
