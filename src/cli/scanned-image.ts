import { open, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { displayOf } from '../archive/index.ts';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { catFile } from '../mount/index.ts';
import type { ScannedImage } from '../release/index.ts';
import { mountableArchive } from './archive-source.ts';
import { blobOrigin } from './blob-origin.ts';
import type { CommandContext } from './context.ts';
import { mountedTree } from './mounted-tree.ts';
import { listingOf } from './trace-input.ts';

/** A package database of a large distribution has a few megabytes. */
const MAX_FILE_BYTES = 64 * 1024 * 1024;
const REGULAR = 0o100000;
const TYPE_BITS = 0o170000;

/** A built image through its own archive: names from the archive's list, bytes of single files from the registry, proven. */
export async function scannedImage(
  { platform, uri }: { readonly uri: string; readonly platform?: string | undefined },
  scratchDir: string,
  { plainHttp = false, store }: { readonly store?: string; readonly plainHttp?: boolean },
  context: CommandContext,
): Promise<ScannedImage> {
  const flags = { plainHttp, ...(platform !== undefined && { platform }), ...(store !== undefined && { store }) };
  const { nodes } = await listingOf(uri, flags, context);
  const sizes = new Map(
    nodes.flatMap(({ attributes, path, type }) =>
      type === 'file' && (attributes.mode & TYPE_BITS) === REGULAR ? [[displayOf(path), attributes.sizeBytes]] : [],
    ),
  );
  const { address, config, path: archive, storage } = await mountableArchive(uri, flags, context);
  const origin = await blobOrigin(storage, flags, context);
  const source = { archive, cacheDir: resolve(context.settings.cacheDir), origin, archiveAddress: address };
  return {
    config,
    files: [...sizes.keys()],
    read: async (path: string, { signal }: Cancelable) => {
      const sizeBytes = sizes.get(path) ?? 0;
      if (sizeBytes > MAX_FILE_BYTES)
        throw new WorkerError('LIMIT_EXCEEDED', `${path}: ${sizeBytes} bytes, at most ${MAX_FILE_BYTES} are read`);
      const copy = join(scratchDir, 'file');
      await using file = await open(copy, 'w');
      await catFile(source, path, file.fd, { tools: context.tools, signal });
      return await readFile(copy, 'utf8');
    },
    mount: ({ signal }) => mountedTree(uri, flags, { ...context, signal }),
  };
}
