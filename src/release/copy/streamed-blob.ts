import type { Expected } from '../../digest/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import type { BlobSource, RegistryClient, Repository } from '../../registry/index.ts';

/** A blob of one repository as what is pushed to another: its bytes pass through, and never lie on a disk. */
export function streamedBlob(
  client: RegistryClient,
  repository: Repository,
  { digest, sizeBytes }: Expected,
  { signal }: Cancelable,
): BlobSource {
  return {
    digest,
    sizeBytes,
    async *read(start, end) {
      try {
        const range = { offset: start, length: end - start };
        yield* (await client.getBlobStream(repository, digest, { range, signal })) as AsyncIterable<Uint8Array>;
      } catch (thrown) {
        throw ofSource(thrown);
      }
    },
  };
}

/** Its status must not be taken for one of the registry that the blob is pushed to. */
function ofSource(thrown: unknown): unknown {
  if (!(thrown instanceof WorkerError)) return thrown;
  const code = thrown.code === 'REGISTRY_NOT_FOUND' ? 'BLOB_MISSING' : thrown.code;
  const { status: _, ...details } = thrown.details;
  return new WorkerError(code, `at the source: ${thrown.message}`, details, { cause: thrown });
}
