import { type Cancelable, messageOf, WorkerError } from '../../errors/index.ts';
import { ABSENT_ANNOTATION } from '../annotations.ts';
import type { Descriptor } from '../descriptor.ts';
import { type Index, MAX_MANIFEST_BYTES, parseIndex, parseManifest } from '../manifest.ts';
import { isIndexType, isManifestType } from '../media-types.ts';

/** What a walk needs of a layout. */
export interface BlobReader {
  index(): Promise<Index>;
  readBlob(descriptor: Descriptor, options: Cancelable & { readonly maxBytes: number }): Promise<Uint8Array>;
}

export interface Reached {
  readonly descriptor: Descriptor;
  /** The descriptor, or the entry of index.json above it, says that the registry has the blob. */
  readonly mayBeAbsent: boolean;
  /** Why the documents below it are not known: a manifest or index that is missing or broken. */
  readonly broken?: WorkerError;
}

const MAX_DEPTH = 8;

/** Everything index.json leads to, each digest once, documents before what they name. */
export async function* walkReachable(layout: BlobReader, { signal }: Cancelable): AsyncGenerator<Reached> {
  const seen = new Set<string>();
  const { manifests } = await layout.index();
  for (const descriptor of manifests) yield* walk(layout, descriptor, saysAbsent(descriptor), 0, seen, { signal });
}

async function* walk(
  layout: BlobReader,
  descriptor: Descriptor,
  layersMayBeAbsent: boolean,
  depth: number,
  seen: Set<string>,
  { signal }: Cancelable,
): AsyncGenerator<Reached> {
  signal.throwIfAborted();
  if (seen.has(descriptor.digest)) return;
  seen.add(descriptor.digest);
  if (!isIndexType(descriptor.mediaType) && !isManifestType(descriptor.mediaType)) {
    yield { descriptor, mayBeAbsent: saysAbsent(descriptor) };
    return;
  }
  try {
    if (depth > MAX_DEPTH) throw new WorkerError('LIMIT_EXCEEDED', `index inside index, more than ${MAX_DEPTH} deep`);
    const bytes = await layout.readBlob(descriptor, { maxBytes: MAX_MANIFEST_BYTES, signal });
    const children = childrenOf(descriptor, bytes);
    yield { descriptor, mayBeAbsent: false };
    for (const child of children.documents)
      yield* walk(layout, child, layersMayBeAbsent || saysAbsent(child), depth + 1, seen, { signal });
    for (const leaf of children.leaves) {
      if (seen.has(leaf.digest)) continue;
      seen.add(leaf.digest);
      yield { descriptor: leaf, mayBeAbsent: (layersMayBeAbsent && leaf !== children.config) || saysAbsent(leaf) };
    }
  } catch (thrown) {
    signal.throwIfAborted();
    const broken =
      thrown instanceof WorkerError
        ? thrown
        : new WorkerError('LAYOUT_INVALID', messageOf(thrown), {}, { cause: thrown });
    yield { descriptor, mayBeAbsent: saysAbsent(descriptor), broken };
  }
}

interface Children {
  readonly documents: readonly Descriptor[];
  readonly leaves: readonly Descriptor[];
  readonly config?: Descriptor;
}

function childrenOf(descriptor: Descriptor, bytes: Uint8Array): Children {
  if (isIndexType(descriptor.mediaType)) return { documents: parseIndex(bytes).manifests, leaves: [] };
  const { config, layers } = parseManifest(bytes);
  return { documents: [], leaves: [config, ...layers], config };
}

function saysAbsent({ annotations }: Descriptor): boolean {
  return annotations?.[ABSENT_ANNOTATION] === 'registry';
}
