import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Cancelable, systemCodeOf } from '../errors/index.ts';
import { findNativeTool } from '../native/index.ts';
import { daemonSocket, type MountDaemon, socketsDirectory } from './mount-daemon.ts';

const LOCK = '.sock.lock';

/**
 * Removes the sockets that dead daemons of this state directory left, of whatever mount namespace, with their locks. The
 * locks say who is alive, and Node has no flock: the native tool does it.
 */
export async function removeStaleSockets(daemon: MountDaemon, { signal }: Cancelable): Promise<void> {
  if (daemon.mountSocket !== undefined) return; // somebody else's
  const directory = socketsDirectory(daemon);
  const names = await readdir(directory).catch((thrown: unknown) => {
    if (systemCodeOf(thrown) === 'ENOENT') return [];
    throw thrown;
  });
  const here = names
    .filter((name) => name.endsWith(LOCK))
    .map((name) => join(directory, name.slice(0, -'.lock'.length)));
  // Its own may lie elsewhere, where the path of the directory is long.
  const own = await daemonSocket(daemon);
  for (const socket of here.length === 0 && own.startsWith(directory) ? [] : new Set([...here, own])) {
    const tool = findNativeTool('clipyard-mountd', daemon.tools);
    await promisify(execFile)(tool, ['sweep', '--socket', socket], { signal });
  }
}
