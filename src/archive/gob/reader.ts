import { corrupt } from '../failure.ts';

/** A bounded cursor over gob bytes (Go's encoding/gob, "Encoding Details"). Running over the end is ARCHIVE_CORRUPT. */
export class GobReader {
  readonly #bytes: Buffer;
  readonly #end: number;
  #offset: number;

  constructor(bytes: Buffer, offset = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#offset = offset;
    this.#end = end;
  }

  get remaining(): number {
    return this.#end - this.#offset;
  }

  /** An unsigned integer that must be a safe one. */
  uint(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    const start = this.#wide(first);
    if (this.#offset - start <= 6) return this.#bytes.readUIntBE(start, this.#offset - start);
    const value = this.#big(start);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw corrupt(`number ${value} is out of range`);
    return Number(value);
  }

  /** An unsigned integer over all 64 bits. */
  uint64(): bigint {
    const first = this.#byte();
    return first < 0x80 ? BigInt(first) : this.#big(this.#wide(first));
  }

  /** Two's complement that was sent as an unsigned integer; the result must be a safe one. */
  wrapped(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    const start = this.#wide(first);
    const width = this.#offset - start;
    if (width < 8) return Number(this.#big(start));
    const value = this.#bytes.readInt32BE(start) * 2 ** 32 + this.#bytes.readUInt32BE(start + 4);
    if (!Number.isSafeInteger(value)) throw corrupt(`number ${value} is out of range`);
    return value;
  }

  /** A signed integer that must be a safe one: the lowest bit says that the others are complemented. */
  int(): number {
    const first = this.#byte();
    if (first < 0x80) return (first & 1) === 0 ? first >>> 1 : ~(first >>> 1);
    const start = this.#wide(first);
    if (this.#offset - start <= 6) {
      const coded = this.#bytes.readUIntBE(start, this.#offset - start);
      return coded % 2 === 0 ? coded / 2 : -(coded + 1) / 2;
    }
    const raw = this.#big(start);
    const value = (raw & 1n) === 0n ? raw >> 1n : ~(raw >> 1n);
    const number = Number(value);
    if (!Number.isSafeInteger(number)) throw corrupt(`number ${value} is out of range`);
    return number;
  }

  /** A count of things that each take a byte at least, so that a forged count cannot reserve memory. */
  count(): number {
    const count = this.uint();
    if (count > this.remaining) throw corrupt(`a list of ${count} elements in ${this.remaining} bytes`);
    return count;
  }

  /** Length and bytes; the result shares memory with the input. */
  bytes(): Buffer {
    const start = this.#counted();
    return this.#bytes.subarray(start, this.#offset);
  }

  /** Length and bytes, one character a byte. */
  latin1(): string {
    const start = this.#counted();
    return this.#bytes.toString('latin1', start, this.#offset);
  }

  /** A cursor over the next `length` bytes, which this one passes. */
  part(length: number): GobReader {
    const start = this.#advance(length);
    return new GobReader(this.#bytes, start, this.#offset);
  }

  #byte(): number {
    const value = this.#offset < this.#end ? this.#bytes[this.#offset] : undefined;
    if (value === undefined) throw corrupt('a gob value runs over its end');
    this.#offset += 1;
    return value;
  }

  #counted(): number {
    return this.#advance(this.uint());
  }

  #advance(length: number): number {
    if (length > this.remaining) throw corrupt(`a gob value of ${length} bytes where ${this.remaining} are left`);
    const start = this.#offset;
    this.#offset += length;
    return start;
  }

  #wide(first: number): number {
    const width = 256 - first;
    if (width > 8) throw corrupt(`a gob number of ${width} bytes`);
    return this.#advance(width);
  }

  #big(start: number): bigint {
    const width = this.#offset - start;
    if (width === 8) return this.#bytes.readBigUInt64BE(start);
    const low = this.#bytes.readUIntBE(start + Math.max(0, width - 6), Math.min(width, 6));
    return width === 7 ? (BigInt(this.#bytes[start] ?? 0) << 48n) | BigInt(low) : BigInt(low);
  }
}
