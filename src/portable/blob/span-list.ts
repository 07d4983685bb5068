import type { Limits } from '../../config/index.ts';
import { beyond } from '../failure.ts';

/** A part of a blob that decodes alone. */
export interface Span {
  readonly storedBytes: number;
  readonly plainBytes: number;
}

/** Frames or members in blob order. Those without content belong to the one before, or move the first span. */
export class SpanList {
  readonly #limits: Limits;
  readonly #spans: Span[] = [];
  #first = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** Offset of the first span in the blob. */
  get first(): number {
    return this.#first;
  }

  get spans(): readonly Span[] {
    return this.#spans;
  }

  push(span: Span): void {
    const last = this.#spans.at(-1);
    if (span.plainBytes > 0) this.#spans.push(span);
    else if (last === undefined) this.#first += span.storedBytes;
    else this.#spans[this.#spans.length - 1] = { ...last, storedBytes: last.storedBytes + span.storedBytes };
    if (this.#spans.length > this.#limits.maxSpans) throw beyond('the number of frames', this.#limits, 'maxSpans');
  }
}
