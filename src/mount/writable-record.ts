import { mkdtemp, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { makeDirectory, namesIn } from '../files/index.ts';
import type { MountDaemon } from './mount-daemon.ts';

/**
 * What `<state>/lowers/<name>.json` says of a writable mount: the daemon knows only the image mount below it, at
 * `<state>/lowers/<name>`.
 */
const WritableRecord = z.object({
  v: z.literal(1),
  /** Where the overlay is. */
  mountpoint: z.string(),
  /** The image mount. */
  lower: z.string(),
  /** Holds the changes. */
  directory: z.string(),
  /** The command that makes it: while that runs, the overlay may be yet to come. */
  makerPid: z.number().int().optional(),
});
export type WritableRecord = z.infer<typeof WritableRecord>;

/** A fresh folder for the image mount of a writable one. */
export async function createLower({ stateDir }: Pick<MountDaemon, 'stateDir'>): Promise<string> {
  const root = lowersDirectory(stateDir);
  await makeDirectory(root, { mode: 0o700 });
  return await mkdtemp(join(root, 'image-'));
}

export async function writeWritableRecord(record: Omit<WritableRecord, 'v' | 'makerPid'>): Promise<void> {
  const temporary = `${record.lower}.tmp`;
  await writeFile(temporary, `${JSON.stringify({ v: 1, ...record, makerPid: process.pid })}\n`);
  await rename(temporary, recordPath(record.lower));
}

/** All writable mounts of a state directory; one whose image is gone is on record until somebody removes it. */
export async function listWritableRecords({
  stateDir,
}: Pick<MountDaemon, 'stateDir'>): Promise<readonly WritableRecord[]> {
  const root = lowersDirectory(stateDir);
  const names = (await namesIn(root)).filter((name) => name.endsWith('.json'));
  const records = await Promise.all(names.map((name) => readRecord(join(root, name))));
  return records.filter((record) => record !== undefined);
}

/** Forgets a writable mount whose image is unmounted. A folder that something is mounted on stays. */
export async function removeLower(lower: string): Promise<void> {
  await rm(recordPath(lower), { force: true });
  await rmdir(lower).catch(() => undefined);
}

function lowersDirectory(stateDir: string): string {
  return join(stateDir, 'lowers');
}

function recordPath(lower: string): string {
  return `${lower}.json`;
}

async function readRecord(path: string): Promise<WritableRecord | undefined> {
  try {
    return WritableRecord.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return undefined; // taken away in between, or of somebody else's making
  }
}
