import { createReadStream } from 'node:fs';
import type { Expected } from '../digest/index.ts';
import type { Cancelable } from '../errors/index.ts';
import type { BlobSource } from './client.ts';
import type { GrowingBlob, Growth } from './growing-blob.ts';

/** Where an upload takes its bytes from. */
export interface UploadSource {
  /** Digest and size, once they are known. */
  readonly final: Expected | undefined;
  /** Waits until so many bytes can be read, or all. */
  atLeast(bytes: number, options: Cancelable): Promise<Growth>;
  bytes(start: number, end: number): AsyncIterable<Uint8Array> | Uint8Array;
}

const READ_BYTES = 1024 * 1024;

export function finishedSource(blob: BlobSource): UploadSource {
  return {
    final: blob,
    atLeast: () => Promise.resolve({ writtenBytes: blob.sizeBytes, final: blob }),
    bytes(start, end) {
      if ('bytes' in blob) return blob.bytes.subarray(start, end);
      if (start === end) return new Uint8Array();
      return createReadStream(blob.path, { start, end: end - 1, highWaterMark: READ_BYTES });
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
