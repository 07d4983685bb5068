import {
  ageMsOf,
  LIMIT_NAMES,
  LIMIT_SETTINGS,
  type LimitName,
  type Limits,
  parseLimit,
  sizeOf,
} from '../config/index.ts';
import { WorkerError } from '../errors/index.ts';
import { type Codec, type Compression, DEFAULT_CHUNK_BYTES, DEFAULT_LEVEL, LEVELS } from '../indexer/index.ts';

/** `K=V`; a bare `K` takes its value from the environment, as docker build does, and is dropped when it is not there. */
export function parsePairs(
  pairs: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  flag: string,
): Readonly<Record<string, string>> {
  const result: Record<string, string> = {};
  for (const pair of pairs) {
    const equals = pair.indexOf('=');
    const name = equals === -1 ? pair : pair.slice(0, equals);
    if (name === '') throw new WorkerError('USAGE', `${flag} ${pair}: no name before the =`);
    const value = equals === -1 ? env[pair] : pair.slice(equals + 1);
    if (value !== undefined) result[name] = value;
  }
  return result;
}

/** `key=value,key=value`, as docker's `--secret` and `--cache-to` are written. */
export function parseFields(text: string, flag: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    text.split(',').map((field) => {
      const equals = field.indexOf('=');
      if (equals <= 0) throw new WorkerError('USAGE', `${flag} ${text}: "${field}" is not key=value`);
      return [field.slice(0, equals), field.slice(equals + 1)];
    }),
  );
}

/** `256KiB`, `10G`, `4096`: bytes. A trailing `i` counts in 1024s, else 1000s. Throws USAGE. */
export function parseSize(text: string, flag: string): number {
  const bytes = sizeOf(text);
  if (bytes === undefined) throw new WorkerError('USAGE', `${flag} ${text}: not a size (write 256KiB or 10GB)`);
  return bytes;
}

/** `10GB` or `5%`, as the mount daemon takes it: bytes, or a share of the filesystem. Throws USAGE. */
export function parseFree(text: string, flag: string): string {
  if (!text.endsWith('%')) return String(parseSize(text, flag));
  if (!/^\d{1,3}%$/.test(text) || Number.parseInt(text, 10) > 100)
    throw new WorkerError('USAGE', `${flag} ${text}: write a size, or 0% to 100%`);
  return text;
}

/** Less than this is taken for a stall (clipyard-mountd, `--bytes-per-second`). */
const LEAST_BANDWIDTH = 65_536;

/** `10MB`: bytes a second. Throws USAGE. */
export function parseBandwidth(text: string): number {
  const bytes = parseSize(text, '--bandwidth');
  if (bytes < LEAST_BANDWIDTH)
    throw new WorkerError('USAGE', `--bandwidth ${text}: at least ${LEAST_BANDWIDTH} bytes a second`);
  return bytes;
}

/** `7d`, `12h`, `30m`, `0s`: milliseconds. Throws USAGE. */
export function parseAge(text: string, flag: string): number {
  const ageMs = ageMsOf(text);
  if (ageMs === undefined) throw new WorkerError('USAGE', `${flag} ${text}: not an age (write 7d, 12h or 30m)`);
  return ageMs;
}

/** `--limit name=value`, over what is configured. Throws USAGE. */
export function parseLimits(assignments: readonly string[], configured: Limits): Limits {
  const limits: { -readonly [Key in keyof Limits]: number } = { ...configured };
  for (const assignment of assignments) {
    const equals = assignment.indexOf('=');
    const name = LIMIT_NAMES.find((each) => each === assignment.slice(0, equals));
    if (name === undefined)
      throw new WorkerError(
        'USAGE',
        `--limit ${assignment}: write NAME=VALUE; the names are ${LIMIT_NAMES.join(', ')}`,
      );
    limits[LIMIT_SETTINGS[name].key] = limitValue(name, assignment.slice(equals + 1));
  }
  return limits;
}

function limitValue(name: LimitName, text: string): number {
  const value = parseLimit(name, text);
  if (typeof value === 'string') throw new WorkerError('USAGE', `--limit ${name}: ${value}`);
  return value;
}

/** A whole number within bounds. Throws USAGE. */
export function parseCount(
  text: string,
  flag: string,
  { min, max }: { readonly min: number; readonly max: number },
): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max))
    throw new WorkerError('USAGE', `${flag} ${text}: a whole number from ${min} to ${max} is needed`);
  return value;
}

/** What the packer takes: with larger chunks its memory bound would not hold (clipyard-index, request `pack`). */
const MAX_CHUNK_BYTES = 4 * 1024 * 1024;

export interface CompressionFlags {
  readonly compression: string;
  readonly level?: string;
  readonly chunk?: string;
}

/** Throws USAGE with the codec's own bounds. */
export function parseCompression(flags: CompressionFlags): Compression {
  if (flags.compression === 'auto') {
    if (flags.level !== undefined)
      throw new WorkerError('USAGE', `--level ${flags.level}: with --compression auto the level is chosen on the way`);
    return { ...parseCompression({ ...flags, compression: 'zstd' }), level: 'auto' };
  }
  if (!Object.hasOwn(LEVELS, flags.compression)) {
    throw new WorkerError(
      'USAGE',
      `--compression ${flags.compression}: one of ${Object.keys(LEVELS).join(', ')}, auto is needed`,
    );
  }
  const codec = flags.compression as Codec;
  const level =
    flags.level === undefined
      ? Math.max(DEFAULT_LEVEL, LEVELS[codec].min)
      : parseCount(flags.level, '--level', LEVELS[codec]);
  const chunkBytes = flags.chunk === undefined ? DEFAULT_CHUNK_BYTES : parseSize(flags.chunk, '--chunk');
  if (chunkBytes < 4096 || chunkBytes > MAX_CHUNK_BYTES || (chunkBytes & (chunkBytes - 1)) !== 0) {
    throw new WorkerError('USAGE', `--chunk ${flags.chunk ?? ''}: a power of two from 4KiB to 4MiB is needed`);
  }
  return { codec, level, chunkBytes };
}

/** `HOST[:PORT]/REPOSITORY`; a bare host gets the repository `clipyard`. Throws USAGE. */
export function parseRegistryTarget(text: string | undefined): {
  readonly registry: string;
  readonly repository: string;
} {
  if (text === undefined || text === '') {
    throw new WorkerError(
      'USAGE',
      'no registry: give --registry HOST/REPOSITORY or set CLIPYARD_REGISTRY (`eval "$(scripts/services.sh env)"` sets the local one)',
    );
  }
  const slash = text.indexOf('/');
  const registry = slash === -1 ? text : text.slice(0, slash);
  const repository = slash === -1 ? 'clipyard' : text.slice(slash + 1);
  const repositoryRule = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/; // distribution-spec 1.1, "Pulling manifests"
  if (
    !/^(\[[0-9a-f:]+\]|[A-Za-z0-9.-]+)(:\d+)?$/.test(registry) ||
    !repositoryRule.test(repository) ||
    repository.length > 200
  ) {
    throw new WorkerError('USAGE', `--registry ${text}: write HOST[:PORT]/REPOSITORY (lower-case repository)`);
  }
  return { registry, repository };
}
