import { execFile } from 'node:child_process';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Unpacks an image with umoci as root and gives the folder of the tree. */
export async function umociUnpack(layoutDir: string, bundleDir: string): Promise<string> {
  await run('umoci', ['unpack', '--image', `${layoutDir}:latest`, bundleDir]);
  return join(bundleDir, 'rootfs');
}

/** Puts a plain layer without whiteouts on top of a tree with GNU tar: what umoci refuses (its own sparse type). */
export async function gnuTarExtract(tarPath: string, root: string): Promise<void> {
  await mkdir(root, { recursive: true });
  await run('tar', ['-x', '-p', '--numeric-owner', '--xattrs', '--xattrs-include=*', '-f', tarPath, '-C', root]);
}

/** Mounts an EROFS image with its devices by the kernel; disposing unmounts. Needs root. */
export async function mountErofs(
  image: string,
  devices: readonly string[],
  mountPoint: string,
): Promise<AsyncDisposable> {
  await mkdir(mountPoint, { recursive: true });
  const options = ['ro', ...devices.map((device) => `device=${device}`)].join(',');
  await run('mount', ['-t', 'erofs', '-o', options, image, mountPoint]);
  return {
    async [Symbol.asyncDispose]() {
      await run('umount', [mountPoint]);
      if ((await readdir(mountPoint)).length > 0) throw new Error(`${mountPoint} is still mounted`);
    },
  };
}
