import type { Cancelable } from '../errors/index.ts';

/** Tells waiting code that something may have changed. Who counts the rings before looking misses none while it looks. */
export class Bell {
  #rings = 0;
  readonly #waiting = new Set<() => void>();

  get rings(): number {
    return this.#rings;
  }

  ring(): void {
    this.#rings += 1;
    for (const wake of [...this.#waiting]) wake();
  }

  /** Returns once there were more than `rings` rings, or after `atMostMs`. Throws the signal's reason. */
  async waitSince(rings: number, atMostMs: number, { signal }: Cancelable): Promise<void> {
    signal.throwIfAborted();
    if (this.#rings > rings) return;
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const wake = () => {
      resolve(undefined);
    };
    const timer = setTimeout(wake, atMostMs);
    this.#waiting.add(wake);
    signal.addEventListener('abort', wake, { once: true });
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(wake);
      signal.removeEventListener('abort', wake);
    }
    signal.throwIfAborted();
  }
}
