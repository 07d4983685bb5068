import { resolve } from 'node:path';
import { collectCachedLayers, listCachedLayers, pinCachedLayers, verifyCachedLayers } from '../../mount/index.ts';
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
  const layers = await listCachedLayers(directory, context);
  const bytes = layers.reduce((sum, layer) => sum + layer.bytes, 0);
  const entries = layers.map(({ lastUsedMs, ...layer }) => ({
    ...layer,
    lastUsed: new Date(lastUsedMs).toISOString(),
  }));
  writeResult(context.stdout, { directory, bytes, layers: entries }, json, () => {
    const rows = entries.map(({ bytes, diffId, inUse, lastUsed, pinned, plainBytes }) => [
      diffId.slice(7, 19),
      formatBytes(bytes),
      formatBytes(plainBytes),
      inUse ? 'yes' : '',
      pinned ? 'yes' : '',
      lastUsed,
    ]);
    const table = formatTable(['layer', 'held >', 'plain >', 'in use', 'pinned', 'last used'], rows);
    return `${table}${entries.length} layers, ${formatBytes(bytes)}\n`;
  });
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
  const { freedBytes, keptBytes, layers } = garbage;
  writeResult(
    stdout,
    { directory, dryRun, maxBytes, ...garbage },
    json,
    () =>
      `${dryRun ? 'would remove' : 'removed'} ${layers} layers, ${formatBytes(freedBytes)}; ${formatBytes(keptBytes)} ${dryRun ? 'would stay' : 'stay'}\n`,
  );
}

/** `clipyard cache layers verify`. */
export async function verify(cache: string | undefined, json: boolean, context: CommandContext): Promise<number> {
  const directory = directoryOf(cache, context);
  const found = await verifyCachedLayers(directory, mountDaemon(context), context);
  const { bytes, chunks, damaged, unknownLayers } = found;
  writeResult(context.stdout, { ok: damaged === 0, directory, ...found }, json, () =>
    [
      `${chunks} chunks, ${formatBytes(bytes)} read, ${damaged} damaged`,
      unknownLayers > 0 ? `, ${unknownLayers} layers cannot be checked before their next mount` : '',
      '\n',
    ].join(''),
  );
  return damaged === 0 ? 0 : DAMAGED;
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
