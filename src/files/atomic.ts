import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { link, mkdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Cancelable } from '../errors/index.ts';
import { syncDirectory } from './sync.ts';

export interface WriteOptions extends Cancelable {
  /** Where the temporary file lies, on the same file system; default: beside the target. It is made when missing. */
  readonly temporaryDir?: string;
  /** Fail with EEXIST when the target is there, instead of replacing it. */
  readonly exclusive?: boolean;
  /** Permission bits of the new file. */
  readonly mode?: number;
  /** Passes the bytes through and may refuse them, e.g. `verify()` of digest/. */
  readonly through?: (source: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>;
}

/**
 * Writes a file that is either wholly there and durable, or not there: temporary name, fsync, rename (or link, when
 * exclusive), fsync of the directory. Nothing is left behind when it throws.
 */
export async function writeFileAtomically(
  path: string,
  content: Readable | Uint8Array | string,
  options: WriteOptions,
): Promise<void> {
  const { signal, exclusive = false, mode = 0o644, through } = options;
  const directory = options.temporaryDir ?? dirname(path);
  await mkdir(directory, { recursive: true });
  const temporary = join(directory, `.${basename(path).slice(0, 80)}.${randomBytes(8).toString('hex')}.tmp`);
  try {
    const source =
      content instanceof Readable
        ? content
        : Readable.from([typeof content === 'string' ? Buffer.from(content) : content]);
    const sink = createWriteStream(temporary, { flags: 'wx', mode, flush: true });
    if (through === undefined) await pipeline(source, sink, { signal });
    else await pipeline(source, through, sink, { signal });
    if (exclusive) await link(temporary, path);
    else await rename(temporary, path);
    await syncDirectory(dirname(path));
  } finally {
    await removeQuietly(temporary);
  }
}

/** Removes a file that may not be there, on a path that is already failing or finished. */
export async function removeQuietly(path: string): Promise<void> {
  await rm(path, { force: true }).catch(() => undefined);
}
