import { randomBytes, randomUUID } from 'node:crypto';
import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, digestOf } from '../../src/digest/index.ts';
import { GrowingBlob } from '../../src/registry/index.ts';

/** A blob that a test writes piece by piece, as the packer would. */
export class GrowingFile {
  readonly path: string;
  readonly bytes: Buffer;
  readonly digest: Digest;
  readonly blob: GrowingBlob;
  #writtenBytes = 0;

  private constructor(path: string, bytes: Buffer) {
    this.path = path;
    this.bytes = bytes;
    this.digest = digestOf(bytes);
    this.blob = new GrowingBlob(path);
  }

  static async create(directory: string, sizeBytes: number): Promise<GrowingFile> {
    const path = join(directory, randomUUID());
    await writeFile(path, '');
    return new GrowingFile(path, randomBytes(sizeBytes));
  }

  async grow(toBytes: number): Promise<void> {
    await appendFile(this.path, this.bytes.subarray(this.#writtenBytes, toBytes));
    this.#writtenBytes = toBytes;
    this.blob.grew(toBytes);
  }

  async finish(): Promise<void> {
    await this.grow(this.bytes.length);
    this.blob.finish({ digest: this.digest, sizeBytes: this.bytes.length });
  }
}
