import { createHash } from 'node:crypto';

/** Changes the CLIP part of an archive and signs footer and part again, as a forger would. */
export function resigned(archive: Buffer, from: string, to: string): Buffer {
  const footer = archive.subarray(archive.length - 4096);
  const clipBytes = Number(footer.readBigUInt64LE(16));
  archive.write(to, archive.indexOf(from), 'latin1');
  createHash('sha256').update(archive.subarray(0, clipBytes)).digest().copy(footer, 32);
  createHash('sha256').update(footer.subarray(0, 4064)).digest().copy(footer, 4064);
  return archive;
}
