import type { RangeSource } from '../archive/index.ts';
import { WorkerError } from '../errors/index.ts';
import type { ObjectStore } from '../objects/index.ts';

/** An object of a store, read by range. */
export function objectSource(store: ObjectStore, key: string, sizeBytes: number): RangeSource {
  return {
    sizeBytes,
    async read(offset, length, { signal }) {
      const { body } = await store.get(key, { range: { offset, length }, signal });
      const bytes = Buffer.concat((await body.toArray({ signal })) as Buffer[]);
      if (bytes.length !== length)
        throw new WorkerError(
          'ARCHIVE_TRUNCATED',
          `${store.urlOf(key)}: ${bytes.length} of ${length} bytes at ${offset}`,
        );
      return bytes;
    },
  };
}
