import { open } from 'node:fs/promises';
import type { Expected } from '../digest/index.ts';
import type { Cancelable } from '../errors/index.ts';
import type { BlobSource } from './client.ts';
import { filePieces } from './file-pieces.ts';
import type { GrowingBlob, Growth } from './growing-blob.ts';

/** Where an upload takes its bytes from. */
export interface UploadSource {
  /** Digest and size, once they are known. */
  readonly final: Expected | undefined;
  /** Waits until so many bytes can be read, or all. */
  atLeast(bytes: number, options: Cancelable): Promise<Growth>;
  bytes(start: number, end: number): AsyncIterable<Uint8Array> | Uint8Array;
}

export function finishedSource(blob: BlobSource): UploadSource {
  return {
    final: blob,
    atLeast: () => Promise.resolve({ writtenBytes: blob.sizeBytes, final: blob }),
    bytes(start, end) {
      if ('bytes' in blob) return blob.bytes.subarray(start, end);
      if (start === end) return new Uint8Array();
      if ('read' in blob) return blob.read(start, end);
      return piecesOfFile(blob.path, start, end);
    },
  };
}

export function growingSource(blob: GrowingBlob): UploadSource {
  return {
    get final() {
      return blob.growth.final;
    },
    atLeast: (bytes, options) => blob.atLeast(bytes, options),
    bytes: (start, end) => (start === end ? new Uint8Array() : blob.bytes(start, end)),
  };
}

async function* piecesOfFile(path: string, start: number, end: number): AsyncGenerator<Uint8Array> {
  await using file = await open(path);
  yield* filePieces(file.fd, { start, end, path });
}
