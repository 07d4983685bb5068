import { statfs } from 'node:fs/promises';
import { WorkerError } from '../../errors/index.ts';
import { formatBytes } from '../../telemetry/index.ts';

export interface Disk {
  readonly freeBytes: number;
  readonly bytes: number;
}

/** The disk that holds a directory; free is what an ordinary user may still write. */
export async function readDisk(directory: string): Promise<Disk> {
  const { bavail, blocks, bsize } = await statfs(directory);
  return { freeBytes: bavail * bsize, bytes: blocks * bsize };
}

/** Pure: why a worker with this disk takes nothing; undefined: it does. A build under way still needs room to finish. */
export function diskReason({ freeBytes }: Disk, watermarkBytes: number): string | undefined {
  if (freeBytes >= watermarkBytes) return undefined;
  return `disk: ${formatBytes(freeBytes)} free, ${formatBytes(watermarkBytes)} are kept free`;
}

/** For what comes before any build: uploads, indexes. Throws WORKER_DISK_LOW. */
export function requireRoom(disk: Disk, watermarkBytes: number): void {
  const reason = diskReason(disk, watermarkBytes);
  if (reason !== undefined) throw new WorkerError('WORKER_DISK_LOW', `the worker takes nothing: ${reason}`);
}
