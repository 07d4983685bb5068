import {
  type BigIntStats,
  closeSync,
  constants,
  type Dirent,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
} from 'node:fs';
import { systemCodeOf, toWorkerError, WorkerError } from '../../errors/index.ts';
import { type BytePath, bytesOfPath, childPath, pathOfBytes, textOfPath } from './byte-path.ts';
import type { ContextFilter, ContextSource, OpenFile } from './context-source.ts';
import { type ContextEntry, deviceOf, goMode } from './entry.ts';
import type { LinkReader } from './follow-paths.ts';
import type { ParentMatches } from './pattern-matcher.ts';

/** A directory on the way to the entries below it; it is sent with the first of them, when it was not before. */
interface Directory {
  readonly path: BytePath;
  readonly parent: Directory | undefined;
  readonly include: ParentMatches | undefined;
  readonly exclude: ParentMatches | undefined;
  readonly wanted: boolean;
  sent: boolean;
}

/** A directory of this machine as a context. The root is followed if it is a link; inside, links are sent as links. */
export class LocalTree implements ContextSource {
  readonly links: LinkReader;
  readonly #root: Buffer;
  readonly #onStats: ((path: BytePath, stats: BigIntStats) => void) | undefined;

  /** `onStats` hears what lstat(2) says of each entry, just before the entry is given. */
  constructor(root: string, { onStats }: { readonly onStats?: (path: BytePath, stats: BigIntStats) => void } = {}) {
    this.#root = Buffer.from(root);
    this.#onStats = onStats;
    this.links = {
      readLink: (path) => this.#readLink(path),
      readNames: (path) => this.#list(path, false).map(({ name }) => name),
    };
  }

  *entries(filter: ContextFilter): Generator<ContextEntry, void> {
    // Inode to the first name that was sent: the later ones are hard links to it.
    const firstNames = new Map<string, BytePath>();
    const root = { path: '', parent: undefined, include: undefined, exclude: undefined, wanted: true, sent: true };
    yield* this.#below(root, filter, firstNames);
  }

  open(entry: ContextEntry): OpenFile | undefined {
    const descriptor = this.#tryOpen(entry.path);
    if (descriptor === undefined) return undefined;
    return {
      read: (into) => readSync(descriptor, into),
      isUnchanged: () => {
        const { size, mtimeNs } = fstatSync(descriptor, { bigint: true });
        return size === BigInt(entry.sizeBytes) && mtimeNs === entry.modifiedNs;
      },
      [Symbol.dispose]: () => {
        closeSync(descriptor);
      },
    };
  }

  *#below(
    directory: Directory,
    filter: ContextFilter,
    firstNames: Map<string, BytePath>,
  ): Generator<ContextEntry, void> {
    for (const { name, isDirectory } of this.#list(directory.path, directory.wanted)) {
      const path = childPath(directory.path, name);
      const text = textOfPath(path);
      const include = filter.include?.match(text, directory.include);
      const exclude = filter.exclude?.match(text, directory.exclude);
      if (isDirectory && include?.matched === false && filter.include?.mayMatchBelow(text, 'patterns') === false)
        continue;
      if (isDirectory && exclude?.matched === true && filter.exclude?.mayMatchBelow(text, 'exceptions') === false)
        continue;
      const wanted = include?.matched !== false && exclude?.matched !== true;
      const here = {
        path,
        parent: directory,
        include: include?.inherited,
        exclude: exclude?.inherited,
        wanted,
        sent: wanted,
      };
      if (wanted) {
        const entry = this.#entryOf(path, firstNames);
        if (entry === undefined) continue; // it vanished
        yield* this.#unsentParents(directory, firstNames);
        yield entry;
      }
      if (isDirectory) yield* this.#below(here, filter, firstNames);
    }
  }

  *#unsentParents(directory: Directory, firstNames: Map<string, BytePath>): Generator<ContextEntry, void> {
    if (directory.sent) return;
    if (directory.parent !== undefined) yield* this.#unsentParents(directory.parent, firstNames);
    directory.sent = true;
    const entry = this.#entryOf(directory.path, firstNames);
    if (entry === undefined) {
      throw new WorkerError('CONTEXT_CHANGED', `${this.#text(directory.path)} vanished while it was sent`);
    }
    yield entry;
  }

  #entryOf(path: BytePath, firstNames: Map<string, BytePath>): ContextEntry | undefined {
    const stats = this.#tolerating(['ENOENT', 'ENOTDIR'], path, () => lstatSync(this.#host(path), { bigint: true }));
    if (stats === undefined) return undefined;
    this.#onStats?.(path, stats);
    const linkName = stats.isSymbolicLink() ? this.#readLink(path) : firstNameOf(stats, path, firstNames);
    if (stats.isSymbolicLink() && linkName === undefined) return undefined;
    const isHardLink = linkName !== undefined && !stats.isSymbolicLink();
    return {
      path,
      mode: goMode(Number(stats.mode)),
      sizeBytes: stats.isDirectory() || isHardLink || stats.isSocket() ? 0 : Number(stats.size),
      modifiedNs: stats.mtimeNs,
      linkName,
      device: stats.isBlockDevice() || stats.isCharacterDevice() ? deviceOf(stats.rdev) : undefined,
    };
  }

  #list(path: BytePath, required: boolean): readonly { readonly name: BytePath; readonly isDirectory: boolean }[] {
    const tolerated = required ? ['ENOENT', 'ENOTDIR'] : ['ENOENT', 'ENOTDIR', 'EACCES'];
    const found = this.#tolerating(path === '' ? [] : tolerated, path, () =>
      readdirSync(this.#host(path), { withFileTypes: true, encoding: 'buffer' }),
    );
    return (found ?? [])
      .map((child: Dirent<Buffer>) => ({ name: pathOfBytes(child.name), isDirectory: child.isDirectory() }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  #readLink(path: BytePath): BytePath | undefined {
    const target = this.#tolerating(['ENOENT', 'ENOTDIR', 'EINVAL', 'ENAMETOOLONG'], path, () =>
      readlinkSync(this.#host(path), { encoding: 'buffer' }),
    );
    return target === undefined ? undefined : pathOfBytes(target);
  }

  #tryOpen(path: BytePath): number | undefined {
    // Not through a link and not waiting on a pipe that took the file's place; ENXIO is a socket, sent as an empty file.
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    return this.#tolerating(['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'], path, () => openSync(this.#host(path), flags));
  }

  #host(path: BytePath): Buffer {
    return path === '' ? this.#root : Buffer.concat([this.#root, Buffer.from('/'), bytesOfPath(path)]);
  }

  #text(path: BytePath): string {
    return this.#host(path).toString();
  }

  #tolerating<T>(codes: readonly string[], path: BytePath, work: () => T): T | undefined {
    try {
      return work();
    } catch (thrown) {
      const code = systemCodeOf(thrown);
      if (code !== undefined && codes.includes(code)) return undefined;
      throw toWorkerError(thrown, `read ${this.#text(path)} of the context`, 'IO_FAILED');
    }
  }
}

function firstNameOf(stats: BigIntStats, path: BytePath, firstNames: Map<string, BytePath>): BytePath | undefined {
  if (stats.isDirectory() || stats.nlink < 2n) return undefined;
  const inode = `${stats.dev}:${stats.ino}`;
  const first = firstNames.get(inode);
  if (first === undefined) firstNames.set(inode, path);
  return first;
}
