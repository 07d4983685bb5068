import { readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { namesIn } from '../files/index.ts';
import { type MountDaemon, mountsDirectory } from './mount-daemon.ts';

/**
 * What the daemon writes of a mount into `<state>/mounts/<id>/mount.json`: what is left to go by when it and its holder
 * are dead.
 */
const MountRecord = z.object({
  v: z.literal(1),
  id: z.string(),
  mountpoint: z.string(),
  source: z.string(),
  storageRef: z.string(),
  pid: z.number().int(),
  /** The kernel's name for the boot it was mounted in; absent in records of older daemons. */
  bootId: z.string().default(''),
  startedAt: z.string(),
  /** major:minor of the mounted filesystem. */
  device: z.string(),
  engine: z.string().default('erofs'),
  engineReason: z.string().default(''),
});
export type MountRecord = z.infer<typeof MountRecord>;

/** A mount's folder and what is written there; nothing while it is being made, or when whoever made it was killed. */
export interface MountFolder {
  readonly path: string;
  readonly record: MountRecord | undefined;
  readonly ageMs: number;
}

/** All folders of mounts, oldest first. */
export async function listMountFolders(daemon: Pick<MountDaemon, 'stateDir'>): Promise<readonly MountFolder[]> {
  const root = mountsDirectory(daemon);
  const folders: MountFolder[] = [];
  for (const id of await namesIn(root)) {
    const path = join(root, id);
    const record = await readRecord(join(path, 'mount.json'));
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() }));
    folders.push({ path, record, ageMs: Date.now() - mtimeMs });
  }
  const startedAt = ({ record }: MountFolder) => record?.startedAt ?? '';
  return folders.toSorted((a, b) => startedAt(a).localeCompare(startedAt(b)));
}

export async function removeMountFolder({ path }: MountFolder): Promise<void> {
  await rm(path, { recursive: true, force: true });
}

async function readRecord(path: string): Promise<MountRecord | undefined> {
  try {
    return MountRecord.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return undefined;
  }
}
