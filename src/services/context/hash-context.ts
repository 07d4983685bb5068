import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ContextFile, OpenedContext } from '../../buildkit/index.ts';
import type { Digest } from '../../digest/index.ts';
import type { Cancelable } from '../../errors/index.ts';
import type { NativeToolPaths } from '../../native/index.ts';
import { type BuildInput, ContextHash } from './context-hash.ts';
import type { FileReader } from './file-reader.ts';
import { openReader } from './open-reader.ts';
import type { StatCache } from './stat-cache.ts';

export interface HashedContext {
  readonly digest: Digest;
  readonly entries: number;
  /** Of which so many were read; the others were known by their stats. */
  readonly filesRead: number;
  readonly bytesRead: number;
}

export interface HashContextOptions extends Cancelable {
  readonly cache: StatCache;
  /** Where `clipyard-hash` may be; without it files are read here, slower. */
  readonly tools: NativeToolPaths;
}

/** Entries listed in one go, about 6 ms of synchronous work; the files among them are read together. */
const STRETCH = 512;
/** Stretches listed while earlier ones are read. */
const AHEAD = 4;

/** A part of the walk, with the contents of its files as they come. */
interface Stretch {
  readonly files: readonly ContextFile[];
  readonly contents: Promise<ReadonlyMap<ContextFile, string>>;
}

/** The context hash of what a build would send. Throws CONTEXT_CHANGED, IO_FAILED, LIMIT_EXCEEDED. */
export async function hashContext(
  context: OpenedContext,
  input: Omit<BuildInput, 'dockerfile'>,
  { cache, signal, tools }: HashContextOptions,
): Promise<HashedContext> {
  const whole = new ContextHash({ ...input, dockerfile: context.dockerfile });
  await using reader = openReader(tools, { signal });
  let [entries, filesRead, bytesRead] = [0, 0, 0];
  const add = async ({ contents, files }: Stretch) => {
    const found = await contents;
    for (const file of files) whole.add(file, found.get(file));
  };
  const waiting: Stretch[] = [];
  for (const files of stretches(context.entries())) {
    const { known, unread } = lookUp(files, cache);
    entries += files.length;
    filesRead += unread.length;
    for (const { stats } of unread) bytesRead += Number(stats.size);
    const contents = unread.length === 0 ? Promise.resolve(known) : readOthers(known, unread, { cache, reader });
    contents.catch(() => undefined); // awaited in its turn
    waiting.push({ files, contents });
    await nextTurn();
    signal.throwIfAborted();
    const first = waiting.length > AHEAD ? waiting.shift() : undefined;
    if (first !== undefined) await add(first);
  }
  for (const stretch of waiting) await add(stretch);
  signal.throwIfAborted();
  await cache.save({ signal });
  return { digest: whole.digest(), entries, filesRead, bytesRead };
}

function* stretches(files: Iterable<ContextFile>): Generator<readonly ContextFile[], void> {
  let stretch: ContextFile[] = [];
  for (const file of files) {
    if (stretch.push(file) < STRETCH) continue;
    yield stretch;
    stretch = [];
  }
  yield stretch;
}

/** What a file's bytes are hashed of; a socket is sent as an empty file. */
function hasBytes({ stats, type }: ContextFile): boolean {
  return type === 'file' && !stats.isSocket();
}

interface LookedUp {
  readonly known: Map<ContextFile, string>;
  readonly unread: readonly ContextFile[];
}

function lookUp(files: readonly ContextFile[], cache: StatCache): LookedUp {
  const known = new Map<ContextFile, string>();
  const unread: ContextFile[] = [];
  for (const file of files) {
    if (!hasBytes(file)) continue;
    const content = cache.get(file.stats);
    if (content === undefined) unread.push(file);
    else known.set(file, content);
  }
  return { known, unread };
}

async function readOthers(
  known: Map<ContextFile, string>,
  unread: readonly ContextFile[],
  { cache, reader }: { readonly cache: StatCache; readonly reader: FileReader },
): Promise<ReadonlyMap<ContextFile, string>> {
  const readAtNs = BigInt(Date.now()) * 1_000_000n;
  const contents = await reader.read(unread);
  for (const [at, file] of unread.entries()) {
    const content = contents[at] ?? '';
    known.set(file, content);
    cache.set(file.stats, content, readAtNs);
  }
  return known;
}
