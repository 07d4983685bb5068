import { type ByteString } from '../../archive/index.ts';

/** Bytes of a gob stream being written (Go's encoding/gob, "Encoding Details"). */
export class GobWriter {
  #bytes = Buffer.allocUnsafe(4096);
  #length = 0;

  /** An unsigned safe integer: one byte below 128, else its length complemented and its bytes. */
  uint(value: number): void {
    if (value < 0x80) {
      this.#reserve(1);
      this.#bytes[this.#length++] = value;
    } else if (value < 2 ** 48) {
      const width =
        value < 2 ** 8 ? 1 : value < 2 ** 16 ? 2 : value < 2 ** 24 ? 3 : value < 2 ** 32 ? 4 : value < 2 ** 40 ? 5 : 6;
      this.#reserve(1 + width);
      this.#bytes[this.#length] = 256 - width;
      this.#length = this.#bytes.writeUIntBE(value, this.#length + 1, width);
    } else this.uint64(BigInt(value));
  }

  /** An unsigned integer of 64 bits. */
  uint64(value: bigint): void {
    if (value < 2n ** 48n) {
      this.uint(Number(value));
      return;
    }
    const width = Math.ceil(value.toString(16).length / 2);
    this.#reserve(9);
    this.#bytes[this.#length] = 256 - width;
    this.#bytes.writeBigUInt64BE(value << BigInt(64 - 8 * width), this.#length + 1);
    this.#length += 1 + width;
  }

  /** A signed safe integer: shifted left by one, complemented when negative with the lowest bit set. */
  int(value: number): void {
    const shifted = value < 0 ? -(value + 1) * 2 + 1 : value * 2;
    if (Number.isSafeInteger(shifted)) this.uint(shifted);
    else this.uint64(BigInt(value < 0 ? -(value + 1) : value) * 2n + (value < 0 ? 1n : 0n));
  }

  /** Length and bytes. */
  bytes(value: Uint8Array): void {
    this.uint(value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  /** The same for bytes that are kept one a character. */
  byteString(value: ByteString): void {
    this.uint(value.length);
    this.#reserve(value.length);
    this.#length += this.#bytes.write(value, this.#length, 'latin1');
  }

  /** The same for a text in UTF-8. */
  text(value: string): void {
    this.bytes(Buffer.from(value, 'utf8'));
  }

  /** A message of a stream: its length, then what `fill` writes. */
  message(fill: (inner: GobWriter) => void): void {
    const inner = new GobWriter();
    fill(inner);
    this.bytes(inner.finish());
  }

  /** What was written; shares memory with the writer. */
  finish(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, this.#length + bytes));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}

/** The fields of a struct value in field order. A zero, an empty text, bytes or list is left out, as Go does. */
export class StructWriter {
  readonly #out: GobWriter;
  #next = 0;

  constructor(out: GobWriter) {
    this.#out = out;
  }

  /** Starts a field; the caller writes its value. */
  field(number: number): GobWriter {
    this.#out.uint(number + 1 - this.#next);
    this.#next = number + 1;
    return this.#out;
  }

  uint(number: number, value: number): void {
    if (value !== 0) this.field(number).uint(value);
  }

  uint64(number: number, value: bigint): void {
    if (value !== 0n) this.field(number).uint64(value);
  }

  int(number: number, value: number): void {
    if (value !== 0) this.field(number).int(value);
  }

  byteString(number: number, value: ByteString): void {
    if (value !== '') this.field(number).byteString(value);
  }

  text(number: number, value: string): void {
    if (value !== '') this.field(number).text(value);
  }

  texts(number: number, values: readonly string[]): void {
    this.list(number, values, (out, value) => {
      out.text(value);
    });
  }

  list<T>(number: number, values: readonly T[], write: (out: GobWriter, value: T) => void): void {
    if (values.length === 0) return;
    const out = this.field(number);
    out.uint(values.length);
    for (const value of values) write(out, value);
  }

  /** A map that is not nil; sorted by its keys, so that equal content is equal bytes. */
  map<T>(number: number, entries: ReadonlyMap<string, T>, write: (out: GobWriter, value: T) => void): void {
    const out = this.field(number);
    const keys = [...entries].map(([key, value]) => ({ key: Buffer.from(key, 'utf8'), value }));
    out.uint(keys.length);
    for (const { key, value } of keys.sort((a, b) => a.key.compare(b.key))) {
      out.bytes(key);
      write(out, value);
    }
  }

  /** Writes the zero that ends a struct. */
  end(): void {
    this.#out.uint(0);
  }
}
