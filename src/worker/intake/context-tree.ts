import {
  chmodSync,
  closeSync,
  fchmodSync,
  ftruncateSync,
  futimesSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  symlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { type ByteString, bytesOf, displayOf } from '../../archive/index.ts';
import { systemCodeOf, toWorkerError, WorkerError } from '../../errors/index.ts';
import type { TarEntry } from '../../portable/index.ts';
import type { IntakeLimits } from './intake-limits.ts';

type Kind = 'directory' | 'file' | 'symlink';

/** Linux takes no longer ones. */
const MAX_NAME_BYTES = 255;
const MAX_PATH_BYTES = 4095;
/** What ext4 can keep: 1901 to 2446. */
const TIMES = { min: -(2n ** 31n), max: 2n ** 34n };

/** What a tree took. */
export interface TreeSize {
  readonly entries: number;
  /** Of its files. */
  readonly bytes: number;
}

/**
 * A context being unpacked into an empty folder of this process. Nothing is cleaned up in names: what would have to be, is
 * refused with CONTEXT_INVALID. Files are only ever made, in folders that this tree made itself, so no link is followed.
 */
export class ContextTree {
  readonly #root: Buffer;
  readonly #limits: IntakeLimits;
  readonly #kinds = new Map<string, Kind>([['', 'directory']]);
  /** Their times and modes are set last: what is put into a folder changes them. */
  readonly #directories = new Map<string, TarEntry>();
  #bytes = 0;

  constructor(root: string, limits: IntakeLimits) {
    this.#root = Buffer.from(root);
    this.#limits = limits;
  }

  get size(): TreeSize {
    return { entries: this.#kinds.size - 1, bytes: this.#bytes };
  }

  /** Throws CONTEXT_INVALID, LIMIT_EXCEEDED. */
  async add(entry: TarEntry, data: AsyncIterable<Buffer>): Promise<void> {
    const path = this.#pathOf(entry.name);
    try {
      switch (entry.type) {
        case '0':
          this.#claim(path, 'file');
          await this.#writeFile(path, entry, data);
          break;
        case '1':
          this.#hardLink(path, entry);
          break;
        case '2':
          this.#claim(path, 'symlink');
          this.#symbolicLink(path, entry);
          break;
        case '5':
          this.#directory(path);
          this.#directories.set(path, entry);
          break;
        default:
          throw refused(entry.name, REFUSED_TYPES[entry.type] ?? `of type ${JSON.stringify(entry.type)}`);
      }
    } catch (thrown) {
      if (systemCodeOf(thrown) === 'ENOSPC' || thrown instanceof WorkerError) throw thrown;
      throw toWorkerError(thrown, `unpack ${displayOf(entry.name)} of the context`);
    }
  }

  /** Gives folders their modes and times, the inner ones first. */
  finish(): void {
    const paths = [...this.#directories.keys()].toSorted((a, b) => b.length - a.length);
    for (const path of paths) {
      const entry = this.#directories.get(path);
      if (entry === undefined || path === '') continue;
      chmodSync(this.#host(path), entry.permissions);
      const time = secondsOf(entry);
      utimesSync(this.#host(path), time, time);
    }
  }

  /** The clean path of an entry; its folders are there then. */
  #pathOf(raw: ByteString): string {
    if (raw.includes('\0')) throw refused(raw, 'with a NUL in its name');
    if (raw.startsWith('/')) throw refused(raw, 'with an absolute name');
    if (raw.length > MAX_PATH_BYTES) throw refused(raw, `with a name of more than ${MAX_PATH_BYTES} bytes`);
    const names = raw.split('/').filter((name) => name !== '' && name !== '.');
    if (names.includes('..')) throw refused(raw, 'that leaves the context');
    if (names.some((name) => name.length > MAX_NAME_BYTES))
      throw refused(raw, `with a name of more than ${MAX_NAME_BYTES} bytes`);
    if (names.length > this.#limits.maxDepth)
      throw exceeded(`${shown(raw)} of the context lies ${names.length} folders deep`, this.#limits.maxDepth);
    let parent = '';
    for (const name of names.slice(0, -1)) {
      parent = parent === '' ? name : `${parent}/${name}`;
      const kind = this.#kinds.get(parent);
      if (kind === 'symlink') throw refused(raw, 'that goes through a symbolic link');
      if (kind === 'file') throw refused(raw, 'inside a file');
      if (kind === undefined) this.#directory(parent);
    }
    return names.join('/');
  }

  #claim(path: string, kind: Kind): void {
    if (path === '') throw refused(path as ByteString, 'in place of the root');
    if (this.#kinds.has(path)) throw refused(path as ByteString, 'that is there twice');
    this.#remember(path, kind);
  }

  #remember(path: string, kind: Kind): void {
    this.#kinds.set(path, kind);
    if (this.#kinds.size - 1 > this.#limits.maxEntries)
      throw exceeded(`the context has more entries, ${shown(path)} among them,`, this.#limits.maxEntries);
  }

  /** One that is named again stays: archives do so. */
  #directory(path: string): void {
    const kind = this.#kinds.get(path);
    if (kind === 'directory') return;
    if (kind !== undefined) throw refused(path as ByteString, 'that is there twice');
    this.#remember(path, 'directory');
    mkdirSync(this.#host(path), 0o755);
  }

  async #writeFile(path: string, entry: TarEntry, data: AsyncIterable<Buffer>): Promise<void> {
    this.#bytes += entry.sizeBytes;
    if (this.#bytes > this.#limits.maxContextBytes)
      throw exceeded(`the context has, with ${shown(path)}, ${this.#bytes} bytes`, this.#limits.maxContextBytes);
    const file = openSync(this.#host(path), 'wx', 0o600);
    try {
      const places = placesOf(entry);
      for await (const piece of data) {
        for (let at = 0; at < piece.length; ) {
          const { length, offset } = places.next(piece.length - at);
          at += writeWhole(file, piece.subarray(at, at + length), offset);
        }
      }
      ftruncateSync(file, entry.sizeBytes);
      fchmodSync(file, entry.permissions);
      const time = secondsOf(entry);
      futimesSync(file, time, time);
    } finally {
      closeSync(file);
    }
  }

  #hardLink(path: string, entry: TarEntry): void {
    const target = this.#pathOf(entry.link);
    if (this.#kinds.get(target) !== 'file')
      throw refused(entry.name, `linked to ${shown(entry.link)}, which is no file before it in the tar`);
    this.#claim(path, 'file');
    linkSync(this.#host(target), this.#host(path));
  }

  /** Where it leads does not matter here: it is never followed on this machine. */
  #symbolicLink(path: string, entry: TarEntry): void {
    const { link } = entry;
    if (link === '' || link.includes('\0') || link.length > MAX_PATH_BYTES)
      throw refused(entry.name, 'linked to something that is no path');
    symlinkSync(bytesOf(link), this.#host(path));
    const time = secondsOf(entry);
    lutimesSync(this.#host(path), time, time);
  }

  #host(path: string): Buffer {
    return Buffer.concat([this.#root, Buffer.from('/'), bytesOf(path as ByteString)]);
  }
}

const REFUSED_TYPES: Readonly<Record<string, string>> = {
  '3': 'that is a device',
  '4': 'that is a device',
  '6': 'that is a pipe',
};

/** Walks through the stretches of a file as its data comes. */
function placesOf({ stretches }: TarEntry) {
  let [at, done] = [0, 0];
  return {
    /** Where the next bytes belong, and how many of `available` do so in one piece. */
    next(available: number): { readonly offset: number; readonly length: number } {
      const stretch = stretches[at] ?? { offset: 0, length: 0 };
      const length = Math.min(available, stretch.length - done);
      const offset = stretch.offset + done;
      done += length;
      if (done === stretch.length) [at, done] = [at + 1, 0];
      return { offset, length };
    },
  };
}

function writeWhole(file: number, bytes: Buffer, offset: number): number {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(file, bytes, done, bytes.length - done, offset + done);
  }
  return bytes.length;
}

function secondsOf({ mtime, name }: TarEntry): number {
  if (mtime.seconds < TIMES.min || mtime.seconds > TIMES.max) throw refused(name, `of time ${mtime.seconds}`);
  return Number(mtime.seconds) + mtime.nanos / 1e9;
}

function shown(path: string): string {
  return path === '' ? 'the root' : displayOf(path.slice(0, 200) as ByteString);
}

function refused(name: ByteString, why: string): WorkerError {
  return new WorkerError('CONTEXT_INVALID', `the context has an entry ${why}: ${shown(name)}`, { entry: shown(name) });
}

function exceeded(what: string, limit: number): WorkerError {
  return new WorkerError('LIMIT_EXCEEDED', `${what} and may have ${limit}`, { limit: String(limit) });
}
