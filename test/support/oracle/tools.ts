import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
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

/**
 * Mounts an EROFS image with its devices by the kernel; disposing unmounts. Needs root. mount(8) puts an image file
 * behind a loop device, and then the kernel wants block devices for the rest too.
 */
export async function mountErofs(
  image: string,
  devices: readonly string[],
  mountPoint: string,
): Promise<AsyncDisposable> {
  await mkdir(mountPoint, { recursive: true });
  await using stack = new AsyncDisposableStack();
  const loops: string[] = [];
  for (const file of [image, ...devices]) loops.push(await attachLoop(stack, file));
  const [source = '', ...others] = loops;
  await run('mount', [
    '-t',
    'erofs',
    '-o',
    ['ro', ...others.map((device) => `device=${device}`)].join(','),
    source,
    mountPoint,
  ]);
  stack.defer(async () => {
    await run('umount', [mountPoint]);
  });
  return stack.move();
}

async function attachLoop(stack: AsyncDisposableStack, file: string): Promise<string> {
  const { stdout } = await run('losetup', ['--find', '--show', '--read-only', file]);
  const device = stdout.trim();
  stack.defer(async () => {
    await run('losetup', ['--detach', device]);
  });
  return device;
}
