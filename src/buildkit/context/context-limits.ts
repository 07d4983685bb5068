import { WorkerError } from '../../errors/index.ts';

/** What a context may hold; more is LIMIT_EXCEEDED. */
export interface ContextLimits {
  readonly maxEntries: number;
  readonly maxBytes: number;
}

/** Enough for any sane source tree; a forgotten home directory is refused before it fills the daemon. */
export const DEFAULT_CONTEXT_LIMITS: ContextLimits = { maxEntries: 1_000_000, maxBytes: 32 * 1024 ** 3 };

/** Counts what is in a context, and stops where it is too much. */
export class ContextSize {
  readonly #name: string;
  readonly #limits: ContextLimits;
  #entries = 0;
  #bytes = 0;

  /** `name`: what the context is called in the message. */
  constructor(name: string, limits: ContextLimits) {
    this.#name = name;
    this.#limits = limits;
  }

  get entries(): number {
    return this.#entries;
  }

  /** Throws LIMIT_EXCEEDED. */
  add(bytes: number): void {
    const { maxEntries, maxBytes } = this.#limits;
    this.#entries += 1;
    this.#bytes += bytes;
    if (this.#entries > maxEntries) throw this.#tooLarge(`more than ${maxEntries} entries`, { maxEntries });
    if (this.#bytes > maxBytes) throw this.#tooLarge(`more than ${maxBytes} bytes`, { maxBytes });
  }

  #tooLarge(what: string, details: Record<string, number>): WorkerError {
    const message = `the context ${this.#name} has ${what}; exclude some in .dockerignore`;
    return new WorkerError('LIMIT_EXCEEDED', message, details);
  }
}
