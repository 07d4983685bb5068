import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { ClipyardCommand } from '../contenders/clipyard-index.ts';
import { runMeasured } from '../measure/run-measured.ts';
import { type MountContender, needsRoot, type PushedImage } from './tree.ts';
import { unmount } from './unmount.ts';

const MOUNT_TIMEOUT_MS = 60_000;
const Mounted = z.object({ pid: z.number(), mountMs: z.number(), engine: z.string() });

/** `clipyard mount`, with a daemon and a cache of its own, by the engine. */
export function clipyardMountContender(
  engine: 'erofs' | 'fuse',
  image: PushedImage & { readonly archivePath: string },
  clipyard: ClipyardCommand,
): MountContender {
  return {
    id: engine,
    title: `clipyard mount --engine ${engine}`,
    unavailable: engine === 'erofs' ? needsRoot() : undefined,
    opensForEach: true,
    open: async ({ directory, registry, signal }) => {
      signal.throwIfAborted();
      const root = join(directory, 'root');
      await mkdir(root);
      const from = ['--storage-ref', `${registry}/${image.repository}:${image.tag}`];
      const args = ['--json', 'mount', '--engine', engine, '--cache', join(directory, 'cache'), ...from];
      const env = {
        ...clipyard.env,
        CLIPYARD_STATE: join(directory, 's'), // short: a socket's path lies in it
        CLIPYARD_MOUNTD: undefined,
        CLIPYARD_LOG: 'error',
      };
      let pid: number | undefined;
      try {
        // Not stopped half-way: the daemon would go on mounting.
        const { seconds, stdout } = await runMeasured(
          { command: [...clipyard.self, ...args, image.archivePath, root], env },
          { signal: AbortSignal.timeout(MOUNT_TIMEOUT_MS) },
        );
        const mounted = Mounted.parse(JSON.parse(stdout));
        pid = mounted.pid;
        signal.throwIfAborted();
        const close = () => unmount(root, mounted.pid);
        return { root, seconds, servedSeconds: mounted.mountMs / 1000, pid, [Symbol.asyncDispose]: close };
      } catch (thrown) {
        await unmount(root, pid);
        throw thrown;
      }
    },
  };
}
