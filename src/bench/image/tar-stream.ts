import type { Contents } from './contents.ts';
import type { GeneratedEntry, GeneratedLayer } from './generated-image.ts';

const BLOCK = 512;
/** Small writes are gathered: a header a write would be a system call a header. */
const BATCH_BYTES = 1024 * 1024;
/** A fixed time: the same spec gives the same bytes. 2024-01-01. */
const MTIME_SECONDS = 1_704_067_200;

/** The tar of a layer (POSIX ustar), never more than a batch of it in memory. */
export function* tarOf(layer: GeneratedLayer, contents: Contents): Generator<Buffer> {
  let batch = Buffer.allocUnsafe(BATCH_BYTES);
  let filled = 0;
  function* add(bytes: Uint8Array): Generator<Buffer> {
    for (let from = 0; from < bytes.length; ) {
      const part = bytes.subarray(from, from + (BATCH_BYTES - filled));
      batch.set(part, filled);
      filled += part.length;
      from += part.length;
      if (filled < BATCH_BYTES) continue;
      yield batch;
      batch = Buffer.allocUnsafe(BATCH_BYTES);
      filled = 0;
    }
  }
  for (const entry of layer) {
    yield* add(headerOf(entry));
    if (entry.type !== 'file') continue;
    for (const slice of contents.slices(entry.kind, entry.offset, entry.sizeBytes)) yield* add(slice);
    yield* add(Buffer.alloc((BLOCK - (entry.sizeBytes % BLOCK)) % BLOCK));
  }
  yield* add(Buffer.alloc(2 * BLOCK));
  if (filled > 0) yield batch.subarray(0, filled);
}

function headerOf(entry: GeneratedEntry): Buffer {
  const header = Buffer.alloc(BLOCK);
  const executable = entry.type === 'directory' || (entry.type === 'file' && entry.executable);
  header.write(entry.type === 'directory' ? `${entry.path}/` : entry.path, 0, 100);
  octal(header, 100, 8, entry.type === 'symlink' ? 0o777 : executable ? 0o755 : 0o644);
  octal(header, 108, 8, 0);
  octal(header, 116, 8, 0);
  octal(header, 124, 12, entry.type === 'file' ? entry.sizeBytes : 0);
  octal(header, 136, 12, MTIME_SECONDS);
  header.fill(' ', 148, 156);
  header.write({ file: '0', symlink: '2', directory: '5' }[entry.type], 156);
  if (entry.type === 'symlink') header.write(entry.target, 157, 100);
  header.write('ustar\u000000', 257);
  header.write('root', 265);
  header.write('root', 297);
  octal(
    header,
    148,
    7,
    header.reduce((sum, byte) => sum + byte, 0),
  );
  return header;
}

function octal(header: Buffer, at: number, width: number, value: number): void {
  header.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at);
}
