import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, open, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { content } from './content.ts';

const run = promisify(execFile);

/** A layer written by GNU tar itself, holes and all. Holes are found in the bytes, so that every file system gives the same. */
export async function gnuTarLayer(
  format: 'pax' | 'gnu',
  sparseVersion: '0.0' | '0.1' | '1.0',
  folder: string,
): Promise<Buffer> {
  const root = await mkdtemp(join(tmpdir(), 'clipyard-gnutar-'));
  try {
    await mkdir(join(root, folder));
    await using file = await open(join(root, folder, 'holes'), 'w');
    for (const [at, offset] of [0, 40_960, 1_000_448].entries())
      await file.write(content(70 + at, 5000), 0, 5000, offset);
    await file.truncate(1_500_000);
    await writeFile(join(root, folder, 'plain'), content(75, 10_000));
    await writeFile(join(root, folder, 'y'.repeat(200)), 'long');
    await symlink('plain', join(root, folder, 'link'));
    const { stdout } = await run(
      'tar',
      [
        '-C',
        root,
        '-c',
        '-S',
        `--format=${format}`,
        '--hole-detection=raw',
        '--sort=name',
        '--mtime=@1700000000',
        '--owner=0',
        '--group=0',
        '--numeric-owner',
        '--mode=u=rwX,go=rX',
        ...(format === 'pax'
          ? [`--sparse-version=${sparseVersion}`, '--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime']
          : []),
        folder,
      ],
      { encoding: 'buffer', maxBuffer: 2 ** 26 },
    );
    return withoutProcessId(stdout);
  } finally {
    await rm(root, { recursive: true });
  }
}

/** GNU tar puts its process id into the names that stand in for sparse files: zeros instead, and the header's sum anew. */
function withoutProcessId(tar: Buffer): Buffer {
  const out = Buffer.from(tar);
  for (let block = 0; block < out.length; block += 512) {
    const header = out.subarray(block, block + 512);
    if (header.toString('latin1', 257, 262) !== 'ustar') continue;
    const name = header.toString('latin1', 0, 100).replace(/GNUSparseFile\.[0-9]+\//, 'GNUSparseFile.0/');
    header.fill(0, 0, 100).write(name.slice(0, 100), 0, 'latin1');
    header.fill(' ', 148, 156);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  }
  return out;
}
