import type { ContextEntry } from './entry.ts';
import type { LinkReader } from './follow-paths.ts';
import type { PatternMatcher } from './pattern-matcher.ts';

/** Which entries of a tree are sent. Parents of a sent entry are sent too, as the receiver needs them. */
export interface ContextFilter {
  readonly include: PatternMatcher | undefined;
  readonly exclude: PatternMatcher | undefined;
}

/** A file of a source while it is read. */
export interface OpenFile extends Disposable {
  /** Fills `into` from the current position; 0 at the end. */
  read(into: Buffer): number;
  /** Whether the file is still the one that was announced. */
  isUnchanged(): boolean;
}

/** A tree that the daemon may ask for by the name of its mount. Reading is synchronous: small files are most of a context. */
export interface ContextSource {
  readonly links: LinkReader;
  /** Entries in the order the receiver demands: byte order of names, depth first. */
  entries(filter: ContextFilter): Generator<ContextEntry, void>;
  /** Undefined when the file is gone. */
  open(entry: ContextEntry): OpenFile | undefined;
}
