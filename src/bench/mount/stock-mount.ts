import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { WorkerError } from '../../errors/index.ts';
import type { NativeToolPaths } from '../../native/index.ts';
import { findPeer } from '../contenders/peer-tools.ts';
import { stockIndex } from '../contenders/stock-clip.ts';
import type { MountContender, MountPlace, OpenTree, PushedImage } from './tree.ts';
import { unmount } from './unmount.ts';

const MOUNT_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 5000;
const MAX_OUTPUT_CHARS = 4000;
const Mounted = z.object({ seconds: z.number() });

/**
 * The stock CLIP mount with its defaults, on an archive of the stock indexer, which reads gzip layers only. That one names the registry it was made from,
 * so there is one for each way to the registry, made in `archivesDir` when it is first needed.
 */
export function stockMountContender(
  image: PushedImage,
  tools: NativeToolPaths,
  { archivesDir }: { readonly archivesDir: string },
): MountContender {
  const reader = findPeer('clip-reader', tools);
  const archives = new Map<string, string>();
  const archiveOf = async ({ registry, signal }: MountPlace) => {
    const made = archives.get(registry);
    if (made !== undefined) return made;
    const directory = join(archivesDir, `stock-${archives.size}`);
    await mkdir(directory, { recursive: true });
    const reference = `${registry}/${image.repository}:${image.tag}`;
    const { archivePath = '' } = await stockIndex(reader.path ?? '', reference, { directory, registry, signal });
    archives.set(registry, archivePath);
    return archivePath;
  };
  return {
    id: 'clip',
    title: 'stock CLIP mount (FUSE), its own archive and its defaults',
    unavailable: reader.path === undefined ? reader.missing : cannotMount(reader.path),
    opensForEach: true,
    prepare: async (place) => {
      await archiveOf(place);
    },
    open: async (place) => await openTree(reader.path ?? '', await archiveOf(place), place),
  };
}

function cannotMount(reader: string): string | undefined {
  const { stderr } = spawnSync(reader, [], { encoding: 'utf8', env: {} });
  return stderr.includes('|mount') ? undefined : 'this clip-reader cannot mount: run scripts/setup.sh in the checkout';
}

async function openTree(reader: string, archivePath: string, { directory, signal }: MountPlace): Promise<OpenTree> {
  const root = join(directory, 'root');
  const cache = join(directory, 'cache');
  await mkdir(root);
  await mkdir(cache);
  signal.throwIfAborted();
  const beganMs = performance.now();
  const child = spawn(reader, ['mount', archivePath, root], {
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/', TMPDIR: cache }, // its cache is below the temporary folder
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // a Ctrl-C is ours to pass on
  });
  const closed = once(child, 'close');
  closed.catch(() => undefined); // awaited below
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-MAX_OUTPUT_CHARS);
  });
  const close = async () => {
    await unmount(root, undefined);
    const stopping = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await closed.catch(() => undefined);
    clearTimeout(stopping);
  };
  try {
    const lines = createInterface({ input: child.stdout });
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(MOUNT_TIMEOUT_MS)]);
    const line = await Promise.race([once(lines, 'line', { signal: deadline }), closed.then(() => undefined)]);
    if (line === undefined) throw new WorkerError('BENCH_FAILED', `${reader} mount ended: ${said}`);
    const seconds = (performance.now() - beganMs) / 1000;
    const { seconds: servedSeconds } = Mounted.parse(JSON.parse(String(line[0])));
    const servedFromMs = beganMs + (seconds - servedSeconds) * 1000;
    return { root, seconds, servedSeconds, servedFromMs, pid: child.pid, [Symbol.asyncDispose]: close };
  } catch (thrown) {
    child.kill('SIGTERM');
    await close();
    signal.throwIfAborted();
    throw thrown;
  }
}
