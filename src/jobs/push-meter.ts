/** What a push has to do: bytes known, bytes moved. */
interface Part {
  readonly knownBytes: () => number;
  doneBytes: number;
}

/** How far the pushes of a build are, all together. */
export class PushMeter {
  readonly #parts = new Map<string, Part>();
  #movedBytes = 0;

  /** `knownBytes` may grow. */
  begin(name: string, knownBytes: () => number): void {
    this.#parts.set(name, { knownBytes, doneBytes: 0 });
  }

  /** The bytes of one part that were sent so far; fewer than before when some must be sent again. */
  moved(name: string, doneBytes: number): void {
    const part = this.#parts.get(name);
    if (part === undefined) return;
    this.#movedBytes += Math.max(0, doneBytes - part.doneBytes);
    part.doneBytes = doneBytes;
  }

  end(name: string): void {
    this.#parts.delete(name);
  }

  get movedBytes(): number {
    return this.#movedBytes;
  }

  get waitingBytes(): number {
    return [...this.#parts.values()].reduce(
      (sum, { doneBytes, knownBytes }) => sum + Math.max(0, knownBytes() - doneBytes),
      0,
    );
  }
}
