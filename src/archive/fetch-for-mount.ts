import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rename } from 'node:fs/promises';
import type { Digest } from '../digest/index.ts';
import { type Cancelable, toWorkerError, WorkerError } from '../errors/index.ts';
import { removeQuietly } from '../files/index.ts';
import { notLazy, openArchive, requireMountable } from './archive.ts';
import { type ImageDocuments, parseConfigSection } from './config-section.ts';
import { corrupt } from './failure.ts';
import { FOOTER_BYTES, type Footer, looksLikeFooter, parseFooter } from './footer.ts';
import { type RangeSource, requireInside } from './range-source.ts';
import { readSection, readVerified } from './section.ts';

export interface FetchForMountOptions extends Cancelable {
  /** The footer that a pointer names; another one is ARCHIVE_MISMATCH. */
  readonly expectedFooterDigest?: Digest;
}

export interface FetchedForMount {
  readonly footer: Footer;
  readonly requests: number;
  readonly fetchedBytes: number;
}

/** One request usually holds everything: the parts of a mount stand at the end of the file. */
const TAIL_BYTES = 2 ** 20;
/** Windows of foreign gzip layers are small (2 MB a plain GB) and the daemon has no way to the store: they come along. */
const MOUNT_SECTIONS: readonly (string | undefined)[] = ['erofs', 'layers', 'extra', 'seek', 'config'];

/**
 * Fetches what a mount needs (footer and the sections config, seek, extra, layers, erofs) into a sparse file of the archive's
 * full length, every digest checked; the rest of the file is a hole. The file is wholly there or not there. Throws
 * ARCHIVE_NOT_LAZY, ARCHIVE_MISMATCH and what opening an archive throws.
 */
export async function fetchForMount(
  source: RangeSource,
  outPath: string,
  options: FetchForMountOptions,
): Promise<FetchedForMount> {
  const { signal, expectedFooterDigest } = options;
  const counted = withTail(source);
  const footer = await readFooter(counted, { signal });
  if (expectedFooterDigest !== undefined && footer.digest !== expectedFooterDigest) {
    throw new WorkerError(
      'ARCHIVE_MISMATCH',
      `the archive has footer ${footer.digest}, ${expectedFooterDigest} is wanted`,
    );
  }
  const temporary = `${outPath}.${randomBytes(8).toString('hex')}.tmp`;
  try {
    await using file = await open(temporary, 'wx', 0o600);
    await file.truncate(source.sizeBytes);
    await writeParts(counted, footer, file, { signal });
    await file.sync();
    await rename(temporary, outPath);
  } catch (thrown) {
    await removeQuietly(temporary);
    signal.throwIfAborted();
    throw toWorkerError(thrown, `fetch the mountable part of an archive to ${outPath}`);
  }
  return { footer, requests: counted.requests, fetchedBytes: counted.fetchedBytes };
}

/**
 * What the image is and where its blobs are, from footer and section config alone: works on a complete archive and on
 * a file that `fetchForMount` wrote, whose CLIP part is a hole. Throws ARCHIVE_NOT_LAZY and what opening an archive throws.
 */
export async function readDocuments(source: RangeSource, { signal }: Cancelable): Promise<ImageDocuments> {
  const { sections } = await readFooter(source, { signal });
  const record = sections.find(({ name }) => name === 'config');
  if (record === undefined) throw corrupt('there is no section config');
  return parseConfigSection(await readSection(source, record, { signal }));
}

/** The footer of an archive that can be mounted. */
async function readFooter(source: RangeSource, { signal }: Cancelable): Promise<Footer> {
  const { sizeBytes } = source;
  const tail =
    sizeBytes < FOOTER_BYTES ? Buffer.alloc(0) : await source.read(sizeBytes - FOOTER_BYTES, FOOTER_BYTES, { signal });
  if (looksLikeFooter(tail)) {
    const footer = parseFooter(tail, sizeBytes);
    requireMountable(footer);
    return footer;
  }
  // No footer: opening says why, or that the archive is one without sections.
  await openArchive(source, { signal });
  throw notLazy();
}

async function writeParts(
  source: RangeSource,
  footer: Footer,
  file: FileHandle,
  { signal }: Cancelable,
): Promise<void> {
  const wanted = footer.sections.filter(({ name }) => MOUNT_SECTIONS.includes(name));
  for (const name of ['config', 'layers']) {
    if (!wanted.some((section) => section.name === name)) throw corrupt(`there is no section ${name}`);
  }
  for (const section of wanted) {
    for await (const { offset, bytes } of readVerified(source, section, { signal }))
      await writeAll(file, bytes, offset);
  }
  const offset = footer.sizeBytes - FOOTER_BYTES;
  await writeAll(file, await source.read(offset, FOOTER_BYTES, { signal }), offset);
}

async function writeAll(file: FileHandle, bytes: Buffer, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, offset + done);
    done += bytesWritten;
  }
}

/** Reads the end of the source once and answers from it; other requests reach at least up to where that starts when they border on it. */
function withTail(source: RangeSource): RangeSource & { readonly requests: number; readonly fetchedBytes: number } {
  const { sizeBytes } = source;
  let held: { readonly offset: number; readonly bytes: Buffer } = { offset: sizeBytes, bytes: Buffer.alloc(0) };
  const count = { requests: 0, fetchedBytes: 0 };
  const fetch = async (offset: number, length: number, options: Cancelable): Promise<Buffer> => {
    count.requests += 1;
    count.fetchedBytes += length;
    return source.read(offset, length, options);
  };
  return {
    sizeBytes,
    get requests() {
      return count.requests;
    },
    get fetchedBytes() {
      return count.fetchedBytes;
    },
    async read(offset, length, options) {
      requireInside(sizeBytes, offset, length);
      if (held.bytes.length === 0 && sizeBytes > 0) {
        const start = Math.max(0, sizeBytes - TAIL_BYTES);
        held = { offset: start, bytes: await fetch(start, sizeBytes - start, options) };
      }
      if (offset >= held.offset) return held.bytes.subarray(offset - held.offset, offset - held.offset + length);
      const before = Math.min(length, held.offset - offset);
      const head = await fetch(offset, before, options);
      return before === length ? head : Buffer.concat([head, held.bytes.subarray(0, length - before)]);
    },
  };
}
