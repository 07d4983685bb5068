/** A line that never ends is cut here. */
const MAX_LINE_BYTES = 64 * 1024;
const LF = 0x0a;
const CR = 0x0d;

/**
 * Cuts the raw output of a step into lines at `\n`, `\r\n` and `\r` (a progress bar redrawing itself). Bytes of one
 * character may come in two pieces: text is only decoded once its line is whole.
 */
export class LogLines {
  #held: Buffer = Buffer.alloc(0);
  #skipLineFeed = false;

  /** The lines that these bytes complete. */
  push(bytes: Buffer): readonly string[] {
    const lines: string[] = [];
    let start = 0;
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at];
      if (this.#skipLineFeed && byte === LF) {
        this.#skipLineFeed = false;
        start = at + 1;
        continue;
      }
      this.#skipLineFeed = byte === CR;
      if (byte !== LF && byte !== CR) continue;
      lines.push(this.#take(bytes.subarray(start, at)));
      start = at + 1;
    }
    this.#held = Buffer.concat([this.#held, bytes.subarray(start)]);
    while (this.#held.length > MAX_LINE_BYTES) {
      const cut = characterStart(this.#held, MAX_LINE_BYTES);
      lines.push(this.#held.subarray(0, cut).toString());
      this.#held = this.#held.subarray(cut);
    }
    return lines;
  }

  /** What is left when the output ends without a line end. */
  end(): readonly string[] {
    return this.#held.length === 0 ? [] : [this.#take(Buffer.alloc(0))];
  }

  #take(rest: Buffer): string {
    const line = Buffer.concat([this.#held, rest]).toString();
    this.#held = Buffer.alloc(0);
    return line;
  }
}

/** The last place at or before `at` where a UTF-8 character begins. */
function characterStart(bytes: Buffer, at: number): number {
  for (let back = 0; back < 4; back++) {
    if (((bytes[at - back] ?? 0) & 0xc0) !== 0x80) return at - back;
  }
  return at;
}
