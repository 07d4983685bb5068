import type { Digest } from '../digest/index.ts';
import type { Cancelable } from '../errors/index.ts';
import type { BlobSource, PushOutcome, RegistryClient } from './client.ts';
import type { Repository } from './reference.ts';

export interface PushBlobsOptions extends Cancelable {
  /** How many blobs are under way at once. */
  readonly width: number;
  readonly mountFrom?: readonly string[];
  readonly onProgress?: (blob: BlobSource, sentBytes: number) => void;
  readonly onDone?: (blob: BlobSource, outcome: PushOutcome) => void;
}

/** Pushes blobs side by side, each digest once. The first failure stops the others and is thrown. */
export async function pushBlobs(
  client: Pick<RegistryClient, 'pushBlob'>,
  repository: Repository,
  blobs: Iterable<BlobSource> | AsyncIterable<BlobSource>,
  { width, signal, mountFrom = [], onProgress, onDone }: PushBlobsOptions,
): Promise<ReadonlyMap<Digest, PushOutcome>> {
  signal.throwIfAborted();
  const outcomes = new Map<Digest, PushOutcome>();
  const seen = new Set<Digest>();
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const queue = toAsync(blobs);
  // The source may be waiting for a packer: a failed push must not wait with it.
  const aborted = new Promise<never>((_, reject) => {
    either.addEventListener(
      'abort',
      () => {
        reject(either.reason as Error);
      },
      { once: true },
    );
  });
  aborted.catch(() => undefined); // thrown below
  const take = () => Promise.race([queue.next(), aborted]);

  // An async generator answers its callers one after another, so the workers share it as a queue.
  const work = async (): Promise<void> => {
    try {
      for (let next = await take(); next.done !== true; next = await take()) {
        either.throwIfAborted();
        const blob = next.value;
        if (seen.has(blob.digest)) continue;
        seen.add(blob.digest);
        const progress =
          onProgress === undefined
            ? {}
            : {
                onProgress: (sentBytes: number) => {
                  onProgress(blob, sentBytes);
                },
              };
        const outcome = await client.pushBlob(repository, blob, { mountFrom, signal: either, ...progress });
        outcomes.set(blob.digest, outcome);
        onDone?.(blob, outcome);
      }
    } catch (thrown) {
      failed.abort(thrown); // the first one counts: abort keeps its first reason
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, width) }, work));
  if (either.aborted) queue.return(undefined).catch(() => undefined); // when the source wakes up, it ends
  signal.throwIfAborted();
  failed.signal.throwIfAborted();
  return outcomes;
}

async function* toAsync(
  blobs: Iterable<BlobSource> | AsyncIterable<BlobSource>,
): AsyncGenerator<BlobSource, undefined> {
  yield* blobs;
  return undefined;
}
