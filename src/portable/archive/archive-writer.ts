import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { promisify } from 'node:util';
import { zstdCompress } from 'node:zlib';
import { type Digest, digestOf, digestOfHex, hexOf } from '../../digest/index.ts';
import { WorkerError } from '../../errors/index.ts';

const compress = promisify(zstdCompress);
// Numbers of docs/formats/archive.md.
const ALIGNMENT = 4096;
const FOOTER_BYTES = 4096;
const FOOTER_DIGEST_OFFSET = 4064;
const RECORD_BYTES = 64;
const [MAJOR, SECTION_VERSION, CRITICAL, ZSTD] = [1, 1, 1, 1] as const;
const MAX_SECTION_BYTES = 2 ** 30;
const SECTIONS = { config: { type: 5, critical: false }, layers: { type: 2, critical: true } } as const;

/** A section as it was written. */
export interface WrittenSection {
  readonly name: keyof typeof SECTIONS;
  readonly offset: number;
  readonly storedBytes: number;
  readonly plainBytes: number;
  readonly digest: Digest;
}

/** Writes an archive front to back: CLIP part, sections, footer. */
export class ArchiveWriter {
  readonly #file: FileHandle;
  readonly #hash = createHash('sha256');
  readonly #sections: WrittenSection[] = [];
  #offset = 0;
  #clip: { readonly bytes: number; readonly digest: Digest } = { bytes: 0, digest: digestOf('') };

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /** The parts of the CLIP part, in order; the first thing to write. */
  async clip(parts: readonly Buffer[]): Promise<void> {
    const hash = createHash('sha256');
    for (const part of parts) {
      hash.update(part);
      await this.#write(part);
    }
    this.#clip = { bytes: this.#offset, digest: digestOfHex(hash.digest('hex')) };
  }

  async section(name: WrittenSection['name'], plain: Buffer): Promise<void> {
    if (plain.length > MAX_SECTION_BYTES)
      throw new WorkerError(
        'LIMIT_EXCEEDED',
        `section ${name} has ${plain.length} bytes, at most ${MAX_SECTION_BYTES}`,
      );
    const stored = await compress(plain);
    await this.#align();
    const [offset, storedBytes, plainBytes] = [this.#offset, stored.length, plain.length];
    this.#sections.push({ name, offset, storedBytes, plainBytes, digest: digestOf(stored) });
    await this.#write(stored);
  }

  /** Writes the footer; what the whole file is. */
  async finish(): Promise<{
    readonly digest: Digest;
    readonly sizeBytes: number;
    readonly clipBytes: number;
    readonly footerDigest: Digest;
    readonly mountBytes: number;
    readonly sections: readonly WrittenSection[];
  }> {
    await this.#align();
    const footer = encodeFooter(this.#clip, this.#sections, this.#offset + FOOTER_BYTES);
    await this.#write(footer);
    const needed = this.#sections.filter(({ name }) => SECTIONS[name].critical);
    return {
      digest: digestOfHex(this.#hash.digest('hex')),
      sizeBytes: this.#offset,
      clipBytes: this.#clip.bytes,
      footerDigest: digestOf(footer),
      mountBytes: needed.reduce((sum, { storedBytes }) => sum + storedBytes, FOOTER_BYTES),
      sections: this.#sections,
    };
  }

  async #align(): Promise<void> {
    await this.#write(Buffer.alloc((ALIGNMENT - (this.#offset % ALIGNMENT)) % ALIGNMENT));
  }

  async #write(bytes: Buffer): Promise<void> {
    this.#hash.update(bytes);
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, this.#offset + done);
      done += bytesWritten;
    }
    this.#offset += bytes.length;
  }
}

function encodeFooter(
  clip: { readonly bytes: number; readonly digest: Digest },
  sections: readonly WrittenSection[],
  fileBytes: number,
): Buffer {
  const footer = Buffer.alloc(FOOTER_BYTES);
  footer.write('CLIPYARD', 0, 'latin1');
  footer.writeUInt16LE(MAJOR, 8);
  footer.writeUInt32LE(sections.length, 12);
  footer.writeBigUInt64LE(BigInt(clip.bytes), 16);
  footer.writeBigUInt64LE(BigInt(fileBytes), 24);
  footer.write(hexOf(clip.digest), 32, 'hex');
  sections.forEach(({ name, offset, storedBytes, plainBytes, digest }, at) => {
    const record = footer.subarray(64 + at * RECORD_BYTES, 64 + (at + 1) * RECORD_BYTES);
    const { type, critical } = SECTIONS[name];
    for (const [field, value] of [type, SECTION_VERSION, critical ? CRITICAL : 0, ZSTD].entries())
      record.writeUInt16LE(value, field * 2);
    for (const [field, value] of [offset, storedBytes, plainBytes].entries())
      record.writeBigUInt64LE(BigInt(value), 8 + field * 8);
    record.write(hexOf(digest), 32, 'hex');
  });
  const digest = digestOf(footer.subarray(0, FOOTER_DIGEST_OFFSET));
  footer.write(hexOf(digest), FOOTER_DIGEST_OFFSET, 'hex');
  return footer;
}
