/** Builds of one image go one after another: they land in the same place and publish under the same name. */
export class ImageTurns {
  readonly #last = new Map<string, Promise<void>>();

  /** Runs `work` when those before it with the same name are done. */
  async run<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(name) ?? Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const mine = before.then(() => promise);
    this.#last.set(name, mine);
    try {
      await before;
      return await work();
    } finally {
      resolve(undefined);
      if (this.#last.get(name) === mine) this.#last.delete(name);
    }
  }
}
