import { randomBytes } from 'node:crypto';
import { createWriteStream, type WriteStream } from 'node:fs';
import { link, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Cancelable } from '../errors/index.ts';
import { makeDirectory } from './directory.ts';
import { syncDirectory } from './sync.ts';

export interface StageOptions extends Cancelable {
  /** Permission bits of the new file. */
  readonly mode?: number;
  /** Passes the bytes through and may refuse them, e.g. `verify()` of digest/. */
  readonly through?: (source: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>;
}

export interface WriteOptions extends StageOptions {
  /** Where the temporary file lies, on the same file system; default: beside the target. It is made when missing. */
  readonly temporaryDir?: string;
  /** Fail with EEXIST when the target is there, instead of replacing it. */
  readonly exclusive?: boolean;
}

/** A file that is written and durable but has no final name yet; disposing of it removes it unless it was published. */
export interface StagedFile extends AsyncDisposable {
  readonly path: string;
  /** Gives it its name. Fails with EEXIST when exclusive and the name is taken. */
  publish(target: string, options?: { readonly exclusive?: boolean }): Promise<void>;
}

/** Writes bytes under a temporary name in `directory`, which is made when missing. Nothing is left behind when it throws. */
export async function stageFile(
  directory: string,
  content: Readable | Uint8Array | string,
  { signal, mode = 0o644, through }: StageOptions,
): Promise<StagedFile> {
  await makeDirectory(directory);
  const path = join(directory, `.${randomBytes(12).toString('hex')}.tmp`);
  const sink = createWriteStream(path, { flags: 'wx', mode, flush: true });
  try {
    const source =
      content instanceof Readable
        ? content
        : Readable.from([typeof content === 'string' ? Buffer.from(content) : content]);
    if (through === undefined) await pipeline(source, sink, { signal });
    else await pipeline(source, through, sink, { signal });
  } catch (thrown) {
    await closed(sink); // one that is still being opened would make the file after it was removed
    await removeQuietly(path);
    signal.throwIfAborted();
    throw thrown;
  }
  return {
    path,
    async publish(target, { exclusive = false } = {}) {
      if (exclusive) await link(path, target);
      else await rename(path, target);
      await syncDirectory(dirname(target));
    },
    [Symbol.asyncDispose]: () => removeQuietly(path),
  };
}

/**
 * Writes a file that is either wholly there and durable, or not there: temporary name, fsync, rename (or link, when
 * exclusive), fsync of the directory.
 */
export async function writeFileAtomically(
  path: string,
  content: Readable | Uint8Array | string,
  options: WriteOptions,
): Promise<void> {
  await using staged = await stageFile(options.temporaryDir ?? dirname(path), content, options);
  await staged.publish(path, options);
}

async function closed(sink: WriteStream): Promise<void> {
  sink.on('error', () => undefined).destroy(); // the caller throws what went wrong first
  if (!sink.closed) await new Promise<void>((resolve) => sink.once('close', resolve));
}

/** Removes a file that may not be there, on a path that is already failing or finished. */
export async function removeQuietly(path: string): Promise<void> {
  await rm(path, { force: true }).catch(() => undefined);
}
