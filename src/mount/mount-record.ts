import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { systemCodeOf } from '../errors/index.ts';

/** What is remembered of a mount, in `<state>/mounts/<id>/mount.json`, so that any later command finds it. */
const MountRecord = z.object({
  v: z.literal(1),
  id: z.string(),
  mountpoint: z.string(),
  source: z.string(),
  storageRef: z.string(),
  pid: z.number().int(),
  startedAt: z.string(),
  /** Of a writable mount, whose `mountpoint` is an overlay: the image mount below it and where the changes are. */
  writable: z.object({ lower: z.string(), directory: z.string() }).optional(),
});
export type MountRecord = z.infer<typeof MountRecord>;

/** The directory of one mount: record, control socket, daemon log, statistics. */
export interface RunDirectory {
  readonly id: string;
  readonly path: string;
}

/** A fresh run directory. The id is short because a unix socket path ends at 107 bytes. */
export async function createRunDirectory(stateDir: string): Promise<RunDirectory> {
  const id = randomBytes(4).toString('hex');
  const path = join(stateDir, 'mounts', id);
  await mkdir(path, { recursive: true, mode: 0o700 });
  return { id, path };
}

export async function writeMountRecord(
  directory: RunDirectory,
  record: Omit<MountRecord, 'v' | 'id'>,
): Promise<MountRecord> {
  const whole: MountRecord = { v: 1, id: directory.id, ...record };
  const temporary = join(directory.path, 'mount.json.tmp');
  await writeFile(temporary, `${JSON.stringify(whole)}\n`);
  await rename(temporary, join(directory.path, 'mount.json'));
  return whole;
}

/** All mounts on record, oldest first; directories without a readable record are mounts that never came up. */
export async function listMountRecords(stateDir: string): Promise<readonly MountRecord[]> {
  const root = join(stateDir, 'mounts');
  const records: MountRecord[] = [];
  for (const id of await readdirOrEmpty(root)) {
    try {
      records.push(MountRecord.parse(JSON.parse(await readFile(join(root, id, 'mount.json'), 'utf8'))));
    } catch {
      // not a mount: a start that failed cleans up after itself, a killed one left this behind
    }
  }
  return records.toSorted((a, b) => a.startedAt.localeCompare(b.startedAt));
}

export function runDirectoryOf(stateDir: string, record: MountRecord): RunDirectory {
  return { id: record.id, path: join(stateDir, 'mounts', record.id) };
}

export async function removeRunDirectory(directory: RunDirectory): Promise<void> {
  await rm(directory.path, { recursive: true, force: true });
}

async function readdirOrEmpty(path: string): Promise<readonly string[]> {
  try {
    return await readdir(path);
  } catch (thrown) {
    if (systemCodeOf(thrown) === 'ENOENT') return [];
    throw thrown;
  }
}
