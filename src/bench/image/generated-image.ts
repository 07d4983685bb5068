import { WorkerError } from '../../errors/index.ts';
import type { Kind } from './contents.ts';
import { normalFrom, randomFrom } from './random.ts';

export interface ImageSpec {
  /** Bytes of all files together. */
  readonly sizeBytes: number;
  /** Regular files; folders and links come on top. */
  readonly files: number;
  readonly layers: number;
  readonly seed: number;
  /** Puts one more file of so many bytes, which do not compress, at the end of the first layer, the largest. */
  readonly lastFileBytes?: number;
}

export type GeneratedEntry =
  | { readonly type: 'directory'; readonly path: string }
  | { readonly type: 'symlink'; readonly path: string; readonly target: string }
  | {
      readonly type: 'file';
      readonly path: string;
      readonly sizeBytes: number;
      readonly kind: Kind;
      /** Where in the pool of its kind the content begins. */
      readonly offset: number;
      readonly executable: boolean;
    };

/** Entries of a layer in the order of its tar, made while they are read: a million files need no list of a million objects. */
export type GeneratedLayer = Iterable<GeneratedEntry>;

const FILES_IN_FOLDER = 24;
const FOLDERS_IN_FOLDER = 16;
/** Spread of file sizes: with 1.8 half of the bytes are in a fiftieth of the files, as in a distribution's image. */
const SIZE_DEVIATION = 1.8;
/** What the ustar size field holds. */
const MAX_FILE_BYTES = 8 * 1024 ** 3 - 1;
const TREES = ['usr/lib', 'opt/app', 'usr/share', 'srv/data', 'home/build'] as const;

/** The number of files with which an image has about so many entries, folders and links included. */
export function filesForEntries(entries: number): number {
  const perFile = 1 + 1 / FILES_IN_FOLDER + 1 / (FILES_IN_FOLDER * 2) + 1 / (FILES_IN_FOLDER * FOLDERS_IN_FOLDER);
  return Math.max(1, Math.round(entries / perFile));
}

/** An image from a seed: the same spec gives the same bytes on every machine. Throws USAGE. */
export function generateImage(spec: ImageSpec): readonly GeneratedLayer[] {
  const { files, lastFileBytes, layers, seed, sizeBytes } = spec;
  if (layers > files) throw new WorkerError('USAGE', `${layers} layers need at least as many files, not ${files}`);
  const sizes = fileSizes(sizeBytes, files, seed);
  if (sizes.some((size) => size > MAX_FILE_BYTES))
    throw new WorkerError(
      'USAGE',
      `${files} files for ${sizeBytes} bytes: one would be over 8 GiB; ask for more files`,
    );
  // A big base, then less and less, as images are stacked.
  const shares = Array.from({ length: layers }, (_, at) => 0.6 ** at);
  const total = shares.reduce((sum, share) => sum + share, 0);
  let end = 0;
  return shares.map((share, at) => {
    const start = end;
    const least = start + 1; // no layer is empty
    const most = files - (layers - at - 1);
    end = at === layers - 1 ? files : Math.min(most, Math.max(least, start + Math.round((files * share) / total)));
    const layer = layerOf(sizes.subarray(start, end), { at, seed });
    return at === 0 && lastFileBytes !== undefined ? withLast(layer, lastFileBytes) : layer;
  });
}

function fileSizes(sizeBytes: number, files: number, seed: number): Float64Array {
  const random = randomFrom(seed);
  const sizes = new Float64Array(files).map(() => Math.exp(SIZE_DEVIATION * normalFrom(random)));
  const total = sizes.reduce((sum, weight) => sum + weight, 0);
  // Carried roundings make the sum exact.
  let carried = 0;
  let given = 0;
  for (const [at, weight] of sizes.entries()) {
    carried += (weight / total) * sizeBytes;
    const size = at === files - 1 ? sizeBytes - given : Math.max(0, Math.min(sizeBytes, Math.round(carried)) - given);
    sizes[at] = size;
    given += size;
  }
  return sizes;
}

function layerOf(sizes: Float64Array, { at, seed }: { readonly at: number; readonly seed: number }): GeneratedLayer {
  const top = `${TREES[at % TREES.length] ?? ''}/layer${at}`;
  return {
    *[Symbol.iterator]() {
      const random = randomFrom(seed + 7919 * (at + 1));
      for (const path of parentsOf(top)) yield { type: 'directory', path };
      let folder = top;
      let group = top;
      const next: Record<Kind, number> = { text: 0, binary: 0, packed: 0 };
      for (const [file, sizeBytes] of sizes.entries()) {
        if (file % (FILES_IN_FOLDER * FOLDERS_IN_FOLDER) === 0) {
          group = `${top}/group${Math.floor(file / (FILES_IN_FOLDER * FOLDERS_IN_FOLDER))}`;
          yield { type: 'directory', path: group };
        }
        if (file % FILES_IN_FOLDER === 0) {
          folder = `${group}/part${Math.floor(file / FILES_IN_FOLDER) % FOLDERS_IN_FOLDER}`;
          yield { type: 'directory', path: folder };
          // Files of a folder are like each other: neighbours in the pool. Another folder is somewhere else.
          for (const kind of KINDS) next[kind] = Math.floor(random() * 2 ** 24);
        }
        const kind = kindOf(random());
        const path = `${folder}/${EXTENSIONS[kind].prefix}${file}${EXTENSIONS[kind].suffix}`;
        const offset = next[kind];
        next[kind] += sizeBytes;
        yield { type: 'file', path, sizeBytes, kind, offset, executable: kind === 'binary' };
        if (file % (FILES_IN_FOLDER * 2) === 0)
          yield { type: 'symlink', path: `${folder}/current`, target: path.slice(folder.length + 1) };
      }
    },
  };
}

function withLast(layer: GeneratedLayer, sizeBytes: number): GeneratedLayer {
  return {
    *[Symbol.iterator]() {
      yield* layer;
      yield { type: 'file', path: `${TREES[0]}/last.bin`, sizeBytes, kind: 'packed', offset: 0, executable: false };
    },
  };
}

const EXTENSIONS = {
  text: { prefix: 'module_', suffix: '.py' },
  binary: { prefix: 'lib', suffix: '.so' },
  packed: { prefix: 'asset-', suffix: '.bin' },
} as const satisfies Record<Kind, object>;

const KINDS = ['text', 'binary', 'packed'] as const satisfies readonly Kind[];

function kindOf(chance: number): Kind {
  if (chance < 0.6) return 'text';
  return chance < 0.9 ? 'binary' : 'packed';
}

function parentsOf(path: string): readonly string[] {
  const parts = path.split('/');
  return parts.map((_, at) => parts.slice(0, at + 1).join('/'));
}
