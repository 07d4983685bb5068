import { read } from 'node:fs';
import { promisify } from 'node:util';
import { WorkerError } from '../errors/index.ts';

/** Fits a core's cache: what was just read is sent from there. */
const PIECE_BYTES = 256 * 1024;
const readAt = promisify(read);

/**
 * The bytes of an open file from `start` to `end`, in pieces of two buffers used in turn: a piece holds until the next but
 * one is asked for. Whoever sends them asks for a piece when the one before has left (undici: when its socket has drained).
 * A fresh buffer for each costs a quarter of the CPU of a push: the collector runs to give them back.
 * Throws BLOB_MISMATCH when the file ends before `end`.
 */
export async function* filePieces(
  file: number,
  { end, path, start }: { readonly start: number; readonly end: number; readonly path: string },
): AsyncGenerator<Uint8Array> {
  const bytes = Math.min(PIECE_BYTES, end - start);
  let [buffer, other] = [Buffer.allocUnsafeSlow(bytes), Buffer.allocUnsafeSlow(bytes)];
  for (let at = start; at < end; ) {
    const { bytesRead } = await readAt(file, buffer, 0, Math.min(bytes, end - at), at);
    if (bytesRead === 0) throw new WorkerError('BLOB_MISMATCH', `${path} ends at ${at}, before ${end}`);
    yield buffer.subarray(0, bytesRead);
    at += bytesRead;
    [buffer, other] = [other, buffer];
  }
}
