import { lstat, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOf, hexOf } from '../digest/index.ts';
import { WorkerError } from '../errors/index.ts';
import { makeDirectory } from '../files/index.ts';

/** sockaddr_un holds this much, the final NUL included (unix(7)). */
const SOCKET_PATH_BYTES = 108;

/**
 * The socket of a state directory's own daemon. There is one for every mount namespace: what one mounts, only processes of
 * its namespace see. A path too long for a socket becomes a short name in a folder that is this user's alone. Throws
 * CONFIG_INVALID when that folder is another's.
 */
export async function socketPathOf(stateDir: string): Promise<string> {
  const namespace = /\d+/.exec(await readlink('/proc/self/ns/mnt'))?.[0] ?? '0';
  const path = join(stateDir, 'mountd', `${namespace}.sock`);
  if (Buffer.byteLength(path) < SOCKET_PATH_BYTES) return path;
  const name = hexOf(digestOf(Buffer.from(path))).slice(0, 32);
  return join(await privateDirectory(), `${name}.sock`);
}

/** Whoever owns the folder of a socket could answer in the daemon's place, and would be told credentials. */
async function privateDirectory(): Promise<string> {
  const user = process.getuid?.() ?? 0;
  const path = user === 0 ? '/run/clipyard/sockets' : `/tmp/clipyard-${user}`;
  await makeDirectory(path, { mode: 0o700 });
  const found = await lstat(path);
  if (found.isDirectory() && found.uid === user && (found.mode & 0o077) === 0) return path;
  throw new WorkerError(
    'CONFIG_INVALID',
    `CLIPYARD_STATE is too long for a socket, and ${path} is not a folder of this user alone; use a shorter state directory`,
  );
}
