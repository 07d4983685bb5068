import { corrupt } from './failure.ts';

/** A bounded little-endian cursor over a section. Running over the end is ARCHIVE_CORRUPT. */
export class FieldReader {
  readonly #bytes: Buffer;
  readonly #name: string;
  #offset = 0;

  constructor(bytes: Buffer, name: string) {
    this.#bytes = bytes;
    this.#name = name;
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#advance(1));
  }

  u32(): number {
    return this.#bytes.readUInt32LE(this.#advance(4));
  }

  u64(): number {
    const value = this.#bytes.readBigUInt64LE(this.#advance(8));
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw corrupt(`section ${this.#name} holds a length of ${value}`);
    return Number(value);
  }

  bytes(length: number): Buffer {
    const start = this.#advance(length);
    return this.#bytes.subarray(start, this.#offset);
  }

  /** `count` numbers of `width` bytes; the room is checked before anything is made. */
  column(count: number, width: 1 | 4 | 8): readonly number[] {
    const part = new FieldReader(this.bytes(count * width), this.#name);
    return Array.from({ length: count }, () => (width === 8 ? part.u64() : width === 4 ? part.u32() : part.u8()));
  }

  /** Passes zeros up to a multiple of `unit`. */
  align(unit: number): void {
    this.zeros((unit - (this.#offset % unit)) % unit);
  }

  zeros(length: number): void {
    if (this.bytes(length).some((byte) => byte !== 0)) throw corrupt(`padding in section ${this.#name} is not zero`);
  }

  /** Nothing may be left. */
  end(): void {
    if (this.#offset !== this.#bytes.length)
      throw corrupt(`${this.#bytes.length - this.#offset} bytes behind section ${this.#name}`);
  }

  #advance(length: number): number {
    const start = this.#offset;
    if (length > this.#bytes.length - start) throw corrupt(`section ${this.#name} ends in the middle of a field`);
    this.#offset += length;
    return start;
  }
}
