import { type ByteString, displayOf } from '../../archive/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import { MAX_MANIFEST_BYTES, parseManifest } from '../../oci/index.ts';
import { type Entry, readTar } from '../../portable/index.ts';
import type { PlacedImage } from '../image/place-image.ts';

/** What is read of the far file. */
export const FAR_BYTES = 5 * 1024 * 1024;

/** Files of an image that operations read, by their paths in it. */
export interface NotableFiles {
  readonly largest: NotableFile;
  /** Far behind the start of the layer that is the largest as it lies in the registry. */
  readonly far: NotableFile & { readonly layerBytes: number };
  /** Of all layers, as their tars hold them. */
  readonly entries: number;
}

export interface NotableFile {
  readonly path: string;
  readonly sizeBytes: number;
}

interface Found {
  readonly sizeBytes: number;
  readonly layer: number;
}

/**
 * The largest file of all, and the last of the largest layer that has FAR_BYTES, or where none has, that is a tenth as large as
 * its largest. Files that an upper layer touches are left out. Throws BENCH_IMAGE_UNSUITABLE for an image without files.
 */
export async function notableFiles({ layout, manifest }: PlacedImage, { signal }: Cancelable): Promise<NotableFiles> {
  const { layers } = parseManifest(await layout.readBlob(manifest, { maxBytes: MAX_MANIFEST_BYTES, signal }));
  const files = new Map<ByteString, Found>();
  let entries = 0;
  for (const [layer, { digest, mediaType, size }] of layers.entries()) {
    const blob = { path: layout.blobPath(digest), mediaType, expected: { digest, sizeBytes: size } };
    const onEntry = (entry: Entry) => {
      entries += 1;
      touch(files, entry, layer);
    };
    for await (const _piece of readTar(blob, { onEntry, signal }));
  }
  const all = [...files].flatMap(([path, found]) =>
    // A shell gets the name as it is, so that it must be one in UTF-8.
    found.sizeBytes > 0 && /^[\x20-\x5b\x5d-\x7e]+$/.test(path) ? [{ path: displayOf(path), ...found }] : [],
  );
  const layerBytes = Math.max(...layers.map(({ size }) => size));
  const inLargest = all.filter(({ layer }) => layers[layer]?.size === layerBytes);
  const largestOf = (list: typeof all) => list.reduce((most, { sizeBytes }) => Math.max(most, sizeBytes), 0);
  const enough = Math.min(FAR_BYTES, largestOf(inLargest) / 10);
  const largest = all.find(({ sizeBytes }) => sizeBytes === largestOf(all));
  const far = inLargest.findLast(({ sizeBytes }) => sizeBytes >= enough);
  if (largest === undefined || far === undefined)
    throw new WorkerError('BENCH_IMAGE_UNSUITABLE', 'the image has no files in its largest layer to read');
  const fileOf = ({ path, sizeBytes }: typeof largest) => ({ path, sizeBytes });
  return { largest: fileOf(largest), far: { ...fileOf(far), layerBytes }, entries };
}

function touch(files: Map<ByteString, Found>, { kind, path }: Entry, layer: number): void {
  const slash = path.lastIndexOf('/');
  const name = path.slice(slash + 1);
  const parent = path.slice(0, Math.max(slash, 0));
  const remove = (below: string) => {
    for (const known of files.keys()) if (known === below || known.startsWith(`${below}/`)) files.delete(known);
  };
  if (name === '.wh..wh..opq') remove(parent);
  else if (name.startsWith('.wh.')) remove(parent === '' ? name.slice(4) : `${parent}/${name.slice(4)}`);
  files.delete(path);
  if (kind.type === 'file' && !name.startsWith('.wh.')) files.set(path, { sizeBytes: kind.sizeBytes, layer });
}
