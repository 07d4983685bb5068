import type { Level } from './console.ts';

type Write = (line: string, level: Level) => void;

/**
 * Several writers side by side whose lines come out as if they had run one after another: the first that has not ended
 * writes at once, the others wait for it.
 */
export class OrderedLines {
  readonly #write: Write;
  readonly #waiting: { lines: (readonly [string, Level])[]; ended: boolean }[] = [];

  constructor(write: Write) {
    this.#write = write;
  }

  /** The next writer in order. */
  writer(): { readonly write: Write; readonly end: () => void } {
    const own: { lines: (readonly [string, Level])[]; ended: boolean } = { lines: [], ended: false };
    this.#waiting.push(own);
    return {
      write: (line, level) => {
        own.lines.push([line, level]);
        this.#flush();
      },
      end: () => {
        own.ended = true;
        this.#flush();
      },
    };
  }

  #flush(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      for (const [line, level] of first.lines.splice(0)) this.#write(line, level);
      if (!first.ended) return;
      this.#waiting.shift();
    }
  }
}
