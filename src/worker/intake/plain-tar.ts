import { createGunzip, createZstdDecompress, constants as zlib } from 'node:zlib';
import { messageOf, toWorkerError, WorkerError } from '../../errors/index.ts';

/** RFC 1952, "Member header"; RFC 8878, "Zstandard Frames". */
const GZIP_MAGIC = Buffer.from('1f8b', 'hex');
const ZSTD_MAGIC = Buffer.from('28b52ffd', 'hex');
/** As much as the command line tool takes without being asked: 128 MiB. */
const MAX_WINDOW_LOG = 27;

/**
 * The tar inside a context, which may be plain or compressed with gzip or zstd: its first bytes say which. Throws
 * CONTEXT_INVALID, and LIMIT_EXCEEDED as soon as there are more than `maxBytes`.
 */
export async function* plainTar(source: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Uint8Array> {
  const { first, all } = await peek(source);
  const plain = isPrefix(GZIP_MAGIC, first)
    ? through(createGunzip(), all, 'gzip')
    : isPrefix(ZSTD_MAGIC, first)
      ? through(createZstdDecompress({ params: { [zlib.ZSTD_d_windowLogMax]: MAX_WINDOW_LOG } }), all, 'zstd')
      : all;
  let bytes = 0;
  for await (const piece of plain) {
    bytes += piece.length;
    if (bytes > maxBytes)
      throw new WorkerError('LIMIT_EXCEEDED', `the context has more than ${maxBytes} bytes when it is unpacked`, {
        limit: String(maxBytes),
      });
    yield piece;
  }
}

/** The first four bytes, and everything from the start. */
async function peek(
  source: AsyncIterable<Uint8Array>,
): Promise<{ readonly first: Buffer; readonly all: AsyncIterable<Uint8Array> }> {
  const pieces = source[Symbol.asyncIterator]();
  let first: Buffer = Buffer.alloc(0);
  while (first.length < ZSTD_MAGIC.length) {
    const next = await pieces.next();
    if (next.done === true) break;
    first = Buffer.concat([first, next.value]);
  }
  async function* all(): AsyncGenerator<Uint8Array> {
    try {
      if (first.length > 0) yield first;
      for (;;) {
        const next = await pieces.next();
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      await pieces.return?.();
    }
  }
  return { first, all: all() };
}

type Decompressor = ReturnType<typeof createGunzip> | ReturnType<typeof createZstdDecompress>;

/** What comes out is asked for piece by piece, so a bomb never fills memory. */
async function* through(
  decompressor: Decompressor,
  source: AsyncIterable<Uint8Array>,
  what: string,
): AsyncGenerator<Uint8Array> {
  let failed: WorkerError | undefined;
  const fed = feed(decompressor, source).catch((thrown: unknown) => {
    failed = toWorkerError(thrown, 'read the context');
    decompressor.destroy();
  });
  try {
    for await (const piece of decompressor as AsyncIterable<Buffer>) yield piece;
  } catch (thrown) {
    await fed;
    if (failed !== undefined) throw failed;
    throw new WorkerError(
      'CONTEXT_INVALID',
      `the context is no ${what} stream: ${messageOf(thrown)}`,
      {},
      { cause: thrown },
    );
  } finally {
    decompressor.destroy();
    await fed;
  }
  if (failed !== undefined) throw failed;
}

async function feed(decompressor: Decompressor, source: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const piece of source) {
    if (decompressor.destroyed) return;
    if (!decompressor.write(piece)) await drained(decompressor);
  }
  decompressor.end();
}

function drained(decompressor: Decompressor): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      decompressor.off('drain', done);
      decompressor.off('close', done);
      resolve();
    };
    decompressor.once('drain', done);
    decompressor.once('close', done);
  });
}

function isPrefix(magic: Buffer, bytes: Buffer): boolean {
  return bytes.subarray(0, magic.length).equals(magic);
}
