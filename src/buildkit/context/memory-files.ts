import { createHash } from 'node:crypto';
import { pathOfText, textOfPath } from './byte-path.ts';
import type { ContextFilter, ContextSource, OpenFile } from './context-source.ts';
import { type ContextEntry, goMode } from './entry.ts';
import type { LinkReader } from './follow-paths.ts';

/** Plain files without a directory, e.g. a Dockerfile that came as bytes. */
export class MemoryFiles implements ContextSource {
  readonly links: LinkReader = { readLink: () => undefined, readNames: () => [...this.#files.keys()].toSorted() };
  readonly #files: ReadonlyMap<string, Buffer>;

  constructor(files: ReadonlyMap<string, Uint8Array>) {
    this.#files = new Map([...files].map(([name, bytes]) => [pathOfText(name), Buffer.from(bytes)]));
  }

  *entries({ include, exclude }: ContextFilter): Generator<ContextEntry, void> {
    for (const [path, bytes] of [...this.#files].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      const text = textOfPath(path);
      if (include?.match(text, undefined).matched === false || exclude?.match(text, undefined).matched === true)
        continue;
      yield {
        path,
        mode: goMode(0o100644),
        sizeBytes: bytes.length,
        modifiedNs: timeOf(bytes),
        linkName: undefined,
        device: undefined,
      };
    }
  }

  open({ path }: ContextEntry): OpenFile | undefined {
    const bytes = this.#files.get(path);
    if (bytes === undefined) return undefined;
    let at = 0;
    return {
      read: (into) => {
        const count = bytes.copy(into, 0, at);
        at += count;
        return count;
      },
      isUnchanged: () => true,
      [Symbol.dispose]: () => undefined,
    };
  }
}

/** The daemon fetches a file again when size or time differ, so the time stands for the content. */
function timeOf(bytes: Buffer): bigint {
  return BigInt(createHash('sha256').update(bytes).digest().readUIntBE(0, 6));
}
