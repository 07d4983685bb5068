import { createWriteStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import pLimit from 'p-limit';
import { displayOf } from '../../archive/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import { MAX_MANIFEST_BYTES, parseManifest } from '../../oci/index.ts';
import { type Entry, type LayerBlob, readTar } from '../../portable/index.ts';
import { tarName, writeDockerfile } from './build-context.ts';
import type { PlacedImage } from './place-image.ts';

export interface UnpackedImage {
  /** Of all tars. */
  readonly plainBytes: number;
  readonly entries: number;
}

const WHITEOUT = '.wh.';

/**
 * Writes the layers of an image as a build context: their plain tars, and a Dockerfile that adds each. Throws
 * BENCH_IMAGE_UNSUITABLE for a layer that deletes something (BuildKit's ADD would make a file of the mark), and what a
 * damaged layer throws.
 */
export async function unpackImage(
  { layout, manifest }: PlacedImage,
  contextDir: string,
  { jobs, signal }: Cancelable & { readonly jobs: number },
): Promise<UnpackedImage> {
  await mkdir(contextDir, { recursive: true });
  const { layers } = parseManifest(await layout.readBlob(manifest, { maxBytes: MAX_MANIFEST_BYTES, signal }));
  const limit = pLimit(jobs);
  const stop = new AbortController();
  const unpacking = { signal: AbortSignal.any([signal, stop.signal]) };
  const written: (UnpackedImage & { readonly tar: string })[] = [];
  // All have ended before anybody hears of the first that failed, so that the folder can be removed.
  await Promise.allSettled(
    layers.map(({ digest, mediaType, size }, at) =>
      limit(async () => {
        const blob = { path: layout.blobPath(digest), mediaType, expected: { digest, sizeBytes: size } };
        const tar = tarName(at);
        written[at] = { tar, ...(await unpackLayer(blob, join(contextDir, tar), unpacking)) };
      }).catch((thrown: unknown) => {
        stop.abort(thrown);
      }),
    ),
  );
  unpacking.signal.throwIfAborted();
  // ADD takes a tar without entries for a file like any other.
  const filled = written.filter(({ entries }) => entries > 0);
  for (const { tar } of written.filter(({ entries }) => entries === 0)) await rm(join(contextDir, tar));
  await writeDockerfile(
    contextDir,
    filled.map(({ tar }) => tar),
  );
  return {
    plainBytes: filled.reduce((sum, { plainBytes }) => sum + plainBytes, 0),
    entries: filled.reduce((sum, { entries }) => sum + entries, 0),
  };
}

async function unpackLayer(blob: LayerBlob, tarPath: string, { signal }: Cancelable): Promise<UnpackedImage> {
  let [plainBytes, entries] = [0, 0];
  const onEntry = ({ path }: Entry) => {
    entries++;
    const name = displayOf(path);
    if (name.slice(name.lastIndexOf('/') + 1).startsWith(WHITEOUT)) throw deletes(name, blob);
  };
  const counted = async function* () {
    for await (const piece of readTar(blob, { onEntry, signal })) {
      plainBytes += piece.length;
      yield piece;
    }
  };
  await pipeline(counted, createWriteStream(tarPath), { signal });
  return { plainBytes, entries };
}

function deletes(name: string, { expected }: LayerBlob): WorkerError {
  return new WorkerError(
    'BENCH_IMAGE_UNSUITABLE',
    `${name} in layer ${expected?.digest ?? ''} deletes what a lower layer has; a build that adds the layer would make it a file`,
    { entry: name },
  );
}
