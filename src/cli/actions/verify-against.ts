import { mkdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { WorkerError } from '../../errors/index.ts';
import {
  type Comparison,
  compareTrees,
  createWorkDirectory,
  type Difference,
  removeWorkDirectory,
  unmount,
} from '../../mount/index.ts';
import type { CommandContext } from '../context.ts';
import { formatBytes, writeResult } from '../output.ts';
import { type MountFlags, mountDaemon, mountSource } from './mount.ts';

export interface AgainstFlags extends MountFlags {
  readonly against: string;
  readonly ignore?: string;
  readonly holes?: boolean;
  readonly limit?: string;
}

/** What `--ignore` can name; attributes also one by one, as `xattr:NAME`. */
const FIELDS = [
  ...['presence', 'type', 'mode', 'uid', 'gid', 'size', 'device', 'mtime', 'dirtime', 'nlink', 'hardlink', 'target'],
  ...['xattr', 'content'],
];
const DEFAULT_LIMIT = 20;
/** Unmounting must work even when the command was interrupted. */
const UNMOUNT_DEADLINE_MS = 30_000;

/**
 * `verify --against`: mounts the source, compares its tree with a folder and shows the first differences. Throws
 * TREE_MISMATCH when there is any.
 */
export async function verifyAgainst(
  source: string,
  flags: AgainstFlags,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  const daemon = mountDaemon(context);
  const options = { ...context, ...parseFlags(flags) };
  const other = resolve(flags.against);
  if (!(await isFolder(other))) throw new WorkerError('PATH_NOT_FOUND', `${flags.against} is no folder`);
  const workDir = await createWorkDirectory(daemon, context);
  const image = join(workDir, 'image');
  await mkdir(image);
  let comparison: Comparison;
  try {
    await mountSource(source, image, flags, context);
    try {
      comparison = await compareTrees(image, other, options);
    } finally {
      await unmount(daemon, image, { signal: AbortSignal.timeout(UNMOUNT_DEADLINE_MS) });
    }
  } finally {
    await removeWorkDirectory(workDir);
  }
  const ok = comparison.differences === 0;
  writeResult(context.stdout, { ok, ...comparison }, json, () => report(source, flags.against, comparison));
  if (!ok)
    throw new WorkerError('TREE_MISMATCH', `${source} and ${flags.against} differ: ${countsOf(comparison)}`, {
      differences: comparison.differences,
    });
}

function parseFlags({ holes = false, ignore = '', limit = String(DEFAULT_LIMIT) }: AgainstFlags) {
  const fields = ignore.split(',').filter((field) => field !== '');
  const unknown = fields.find((field) => !FIELDS.includes(field) && !field.startsWith('xattr:'));
  if (unknown !== undefined)
    throw new WorkerError('USAGE', `--ignore ${unknown}: no such field; there are ${FIELDS.join(', ')} and xattr:NAME`);
  if (!/^\d{1,6}$/.test(limit)) throw new WorkerError('USAGE', `--limit ${limit} is no number up to 999999`);
  return { holes, ignore: fields, limit: Number(limit) };
}

async function isFolder(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

function report(source: string, against: string, { contentBytes, differences, entries, first }: Comparison): string {
  const looked = `${entries} entries and ${formatBytes(contentBytes)} compared`;
  if (differences === 0) return `${source}: the same tree as ${against} (${looked})\n`;
  const more = differences - first.length;
  return [
    ...first.map(line),
    ...(more > 0 ? [`and ${more} more differences; --limit shows them\n`] : []),
    `${differences} differences, ${looked}\n`,
  ].join('');
}

function line({ field, left, path, right }: Difference): string {
  if (field === 'presence')
    return `${path}: only in ${right === undefined ? 'the image' : 'the folder'} (${left ?? right ?? ''})\n`;
  return `${path}: ${field}: ${left ?? 'none'} in the image, ${right ?? 'none'} in the folder\n`;
}

function countsOf({ fields }: Comparison): string {
  return Object.entries(fields)
    .map(([field, count]) => `${field} ${count}`)
    .join(', ');
}
