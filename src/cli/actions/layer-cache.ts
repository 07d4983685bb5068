import { resolve } from 'node:path';
import { collectCachedLayers, listCache, pinCachedLayers, verifyCachedLayers } from '../../mount/index.ts';
import type { CommandContext } from '../context.ts';
import { formatBytes, formatTable, writeResult } from '../output.ts';
import { parseSize } from '../parse-options.ts';
import { mountDaemon } from './mount.ts';

export interface CollectFlags {
  readonly maxSize: string;
  readonly dryRun?: boolean;
}

/** sysexits.h, EX_DATAERR: what category `data_loss` exits with. */
const DAMAGED = 65;

/** `clipyard cache layers ls`. */
export async function list(cache: string | undefined, json: boolean, context: CommandContext): Promise<void> {
  const directory = directoryOf(cache, context);
  const listing = await listCache(directory, context);
  const layers = listing.layers.map(withTime);
  const archives = listing.archives.map(withTime);
  const bytes = [...layers, ...archives].reduce((sum, one) => sum + one.bytes, 0);
  writeResult(context.stdout, { directory, bytes, layers, archives }, json, () => {
    const rows = layers.map(({ bytes, diffId, inUse, lastUsed, pinned, plainBytes }) => [
      diffId.slice(7, 19),
      formatBytes(bytes),
      formatBytes(plainBytes),
      inUse ? 'yes' : '',
      pinned ? 'yes' : '',
      lastUsed,
    ]);
    const table = formatTable(['layer', 'held >', 'plain >', 'in use', 'pinned', 'last used'], rows);
    const archiveRows = archives.map((one) => [
      one.name.slice(0, 12),
      formatBytes(one.bytes),
      one.inUse ? 'yes' : '',
      one.lastUsed,
    ]);
    const archiveTable = formatTable(['archive', 'held >', 'in use', 'last used'], archiveRows);
    return `${table}\n${archiveTable}${layers.length} layers, ${archives.length} archives, ${formatBytes(bytes)}\n`;
  });
}

function withTime<T extends { readonly lastUsedMs: number }>({ lastUsedMs, ...rest }: T) {
  return { ...rest, lastUsed: new Date(lastUsedMs).toISOString() };
}

/** `clipyard cache layers gc`. */
export async function gc(
  cache: string | undefined,
  flags: CollectFlags,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  const { signal, stdout, tools } = context;
  const directory = directoryOf(cache, context);
  const maxBytes = parseSize(flags.maxSize, '--max-size');
  const dryRun = flags.dryRun ?? false;
  const garbage = await collectCachedLayers(directory, { dryRun, keepBytes: maxBytes, signal, tools });
  const { archives, freedBytes, keptBytes, layers } = garbage;
  writeResult(
    stdout,
    { directory, dryRun, maxBytes, ...garbage },
    json,
    () =>
      `${dryRun ? 'would remove' : 'removed'} ${layers} layers, ${archives} archives, ${formatBytes(freedBytes)}; ${formatBytes(keptBytes)} ${dryRun ? 'would stay' : 'stay'}\n`,
  );
}

/** `clipyard cache layers verify`. */
export async function verify(cache: string | undefined, json: boolean, context: CommandContext): Promise<number> {
  const directory = directoryOf(cache, context);
  const found = await verifyCachedLayers(directory, mountDaemon(context), context);
  const { archives, bytes, chunks, damaged, damagedArchives, unknownLayers } = found;
  const ok = damaged === 0 && damagedArchives === 0;
  writeResult(context.stdout, { ok, directory, ...found }, json, () =>
    [
      `${chunks} chunks, ${formatBytes(bytes)} read, ${damaged} damaged; ${archives} archives, ${damagedArchives} damaged`,
      unknownLayers > 0 ? `, ${unknownLayers} layers cannot be checked before their next mount` : '',
      '\n',
    ].join(''),
  );
  return ok ? 0 : DAMAGED;
}

/** `clipyard cache layers pin|unpin`. */
export async function pin(
  cache: string | undefined,
  { diffId, pinned }: { readonly diffId: string; readonly pinned: boolean },
  json: boolean,
  context: CommandContext,
): Promise<void> {
  const { signal, stdout, tools } = context;
  const layers = await pinCachedLayers(directoryOf(cache, context), { diffId, pinned, signal, tools });
  writeResult(stdout, { diffId, pinned, layers }, json, () => `${pinned ? 'pinned' : 'unpinned'} ${layers} layers\n`);
}

function directoryOf(cache: string | undefined, { settings }: CommandContext): string {
  return cache === undefined ? settings.cacheDir : resolve(cache);
}
