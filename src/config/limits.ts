import { sizeOf } from './size.ts';

/** What a layer may cost, by the names of the native tool's request. Beyond a limit is LIMIT_EXCEEDED. */
export interface Limits {
  readonly maxEntries: number;
  readonly maxPathBytes: number;
  readonly maxNameBytes: number;
  readonly maxDepth: number;
  readonly maxHeaderBytes: number;
  readonly maxSparseExtents: number;
  readonly maxFileBytes: number;
  readonly maxXattrBytes: number;
  readonly maxXattrsBytes: number;
  readonly maxRelocatedBytes: number;
  readonly maxPlainBytes: number;
  readonly maxRatio: number;
  readonly ratioFreeBytes: number;
  readonly maxSpans: number;
  readonly maxWindowBytes: number;
}

interface LimitSetting {
  readonly key: keyof Limits;
  /** As a person would write it. */
  readonly value: string;
  /** How far it can be raised: what formats, kernel or memory take. */
  readonly most: string;
  readonly help: string;
}

/** Every limit that can be set, by the name it is set by: `--limit entries=1000`, `CLIPYARD_LIMIT_ENTRIES=1000`. */
export const LIMIT_SETTINGS = {
  entries: {
    key: 'maxEntries',
    value: '10000000',
    most: '1000000000',
    help: 'Entries of one layer; a merge holds about 400 bytes of memory for each.',
  },
  'path-bytes': {
    key: 'maxPathBytes',
    value: '4095',
    most: '4095',
    help: 'Bytes of one whole path or link target (Linux takes 4095).',
  },
  'name-bytes': {
    key: 'maxNameBytes',
    value: '255',
    most: '255',
    help: 'Bytes of one name in a path (Linux takes 255).',
  },
  depth: { key: 'maxDepth', value: '2048', most: '2048', help: 'Names in one path: how deep folders nest.' },
  'header-bytes': {
    key: 'maxHeaderBytes',
    value: '1MiB',
    most: '64MiB',
    help: "Bytes of one PAX header, GNU long name or sparse map (Go's reader takes 1 MiB).",
  },
  'sparse-extents': {
    key: 'maxSparseExtents',
    value: '131072',
    most: '1048576',
    help: 'Stretches of data in one sparse file.',
  },
  'file-bytes': {
    key: 'maxFileBytes',
    value: '16TiB',
    most: '16TiB',
    help: 'Size of one file, holes included (ext4 takes 16 TiB).',
  },
  'xattr-bytes': {
    key: 'maxXattrBytes',
    value: '65535',
    most: '65535',
    help: "Bytes of one extended attribute's value: what the metadata image takes.",
  },
  'xattrs-bytes': {
    key: 'maxXattrsBytes',
    value: '128KiB',
    most: '252KiB',
    help: 'Extended attributes of one entry, names and values together.',
  },
  'relocated-bytes': {
    key: 'maxRelocatedBytes',
    value: '32MiB',
    most: '512MiB',
    help: 'Data of sparse files in one layer that lies off block boundaries and must be copied into the archive.',
  },
  'plain-bytes': { key: 'maxPlainBytes', value: '1TiB', most: '16TiB', help: 'Plain bytes of one layer.' },
  ratio: {
    key: 'maxRatio',
    value: '5000',
    most: '1000000000',
    help: 'Plain bytes for one stored byte, once a layer has given `ratio-free-bytes`.',
  },
  'ratio-free-bytes': {
    key: 'ratioFreeBytes',
    value: '1GiB',
    most: '16TiB',
    help: 'Plain bytes of a layer before the ratio counts: a layer of zeros is no attack.',
  },
  spans: {
    key: 'maxSpans',
    value: '4194304',
    most: '8388608',
    help: 'Frames or gzip members with content in one layer.',
  },
  'window-bytes': {
    key: 'maxWindowBytes',
    value: '128MiB',
    most: '128MiB',
    help: 'Window that a zstd frame may ask for; a mount takes no larger one.',
  },
} as const satisfies Record<string, LimitSetting>;

export type LimitName = keyof typeof LIMIT_SETTINGS;
export type LimitVariable = `CLIPYARD_LIMIT_${string}`;

export const LIMIT_NAMES = Object.keys(LIMIT_SETTINGS) as readonly LimitName[];

export const DEFAULT_LIMITS: Limits = limitsOf((name) => LIMIT_SETTINGS[name].value);

/** The variable that sets a limit. */
export function limitVariable(name: LimitName): LimitVariable {
  return `CLIPYARD_LIMIT_${name.toUpperCase().replaceAll('-', '_')}`;
}

/** The name of the limit with this key in a request. */
export function limitNameOf(key: keyof Limits): LimitName {
  return LIMIT_NAMES.find((name) => LIMIT_SETTINGS[name].key === key) ?? 'entries';
}

/** A limit's value; what is wrong with it as a text where it cannot be. */
export function parseLimit(name: LimitName, text: string): number | string {
  const value = sizeOf(text);
  const { most } = LIMIT_SETTINGS[name];
  if (value === undefined || value < 1) return `${JSON.stringify(text)} is no limit (write 1000 or 256KiB)`;
  return value > (sizeOf(most) ?? 0) ? `${text} is more than ${most}, the most that ${name} can be` : value;
}

function limitsOf(textOf: (name: LimitName) => string): Limits {
  return Object.fromEntries(
    LIMIT_NAMES.map((name) => [LIMIT_SETTINGS[name].key, sizeOf(textOf(name))]),
  ) as unknown as Limits;
}
