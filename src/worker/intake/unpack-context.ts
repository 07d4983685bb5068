import { rm } from 'node:fs/promises';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import { makeDirectory } from '../../files/index.ts';
import { tarEntries } from '../../portable/index.ts';
import { ContextTree, type TreeSize } from './context-tree.ts';
import type { IntakeLimits } from './intake-limits.ts';
import { plainTar } from './plain-tar.ts';

/** What headers and padding may add to the files of a tar, for each entry: three blocks and a long name. */
const TAR_BYTES_PER_ENTRY = 8192;

/**
 * Unpacks a tar (plain, gzip, zstd) into a folder that it makes. Whatever goes wrong, the folder is gone again. Throws
 * CONTEXT_INVALID, LIMIT_EXCEEDED.
 */
export async function unpackContext(
  source: AsyncIterable<Uint8Array>,
  directory: string,
  { limits, signal }: Cancelable & { readonly limits: IntakeLimits },
): Promise<TreeSize> {
  await makeDirectory(directory);
  try {
    const tree = new ContextTree(directory, limits);
    const plain = plainTar(source, limits.maxContextBytes + limits.maxEntries * TAR_BYTES_PER_ENTRY);
    for await (const { data, entry } of tarEntries(plain)) {
      signal.throwIfAborted();
      await tree.add(entry, data);
    }
    for await (const _ of plain) signal.throwIfAborted(); // what follows the end belongs to the digest, too
    tree.finish();
    return tree.size;
  } catch (thrown) {
    await rm(directory, { recursive: true, force: true });
    signal.throwIfAborted();
    throw ofContext(thrown);
  }
}

/** What a damaged layer is to a worker, a damaged tar is to the one who sent it. */
function ofContext(thrown: unknown): unknown {
  if (!(thrown instanceof WorkerError) || !thrown.code.startsWith('LAYER_')) return thrown;
  const why = thrown.message.replace(/^the layer is/, 'it is');
  return new WorkerError('CONTEXT_INVALID', `the context is no tar that can be read: ${why}`, {}, { cause: thrown });
}
