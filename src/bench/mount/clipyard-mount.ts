import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { ClipyardCommand } from '../contenders/clipyard-index.ts';
import { runMeasured } from '../measure/run-measured.ts';
import { type Operation, timeOf } from './operations.ts';
import {
  type MountContender,
  type MountPlace,
  needsRoot,
  type OpenTree,
  type PushedImage,
  type Served,
} from './tree.ts';
import { unmount } from './unmount.ts';

const MOUNT_TIMEOUT_MS = 60_000;
const Mounted = z.object({ pid: z.number(), mountMs: z.number(), mountedAt: z.iso.datetime(), engine: z.string() });
const Stat = z.object({
  kernelRequests: z.number(),
  requests: z.number(),
  waitedUs: z.number(),
  tiers: z.array(z.object({ tier: z.string(), reads: z.number() })),
});

type Engine = 'erofs' | 'fuse';

interface Clipyard {
  readonly engine: Engine;
  readonly image: PushedImage & { readonly archivePath: string };
  readonly clipyard: ClipyardCommand;
}

/** `clipyard mount`, with a daemon and a cache of its own, by the engine. */
export function clipyardMountContender(of: Clipyard): MountContender {
  return {
    id: of.engine,
    title: `clipyard mount --engine ${of.engine}`,
    unavailable: unavailable(of),
    opensForEach: true,
    open: async (place) => await open(of, place, []),
  };
}

/** The same with the profile of one recorded start of the same program, on a cache as empty as the others'. */
export function profiledMountContender(
  of: Clipyard,
  { profilesDir, starts }: { readonly profilesDir: string; readonly starts: boolean },
): MountContender {
  const profiles = new Map<string, string>();
  const flagsFor = (operations: readonly Operation[]) =>
    operations.flatMap(({ name }) => ['--profile', profiles.get(name) ?? '']);
  return {
    id: `${of.engine}-profile`,
    title: `clipyard mount --engine ${of.engine} --profile, recorded in a start before`,
    unavailable: starts ? unavailable(of) : 'no program is started: give --exec',
    opensForEach: true,
    takes: ({ isStart = false }) => isStart,
    prepare: async (place, operations) => {
      for (const operation of operations) {
        if (profiles.has(operation.name)) continue;
        const path = join(profilesDir, `${of.engine}-${operation.name}.trace`);
        const directory = join(place.directory, 'recording');
        await mkdir(directory);
        {
          await using tree = await open(of, { ...place, directory }, ['--trace', path]);
          await timeOf(operation, tree.root, place);
        }
        profiles.set(operation.name, path);
      }
    },
    open: async (place, operations) => await open(of, place, flagsFor(operations)),
  };
}

function unavailable({ engine }: Clipyard): string | undefined {
  return engine === 'erofs' ? needsRoot() : undefined;
}

async function open(
  { clipyard, engine, image }: Clipyard,
  { directory, registry, signal }: MountPlace,
  flags: readonly string[],
): Promise<OpenTree> {
  signal.throwIfAborted();
  const root = join(directory, 'root');
  await mkdir(root);
  const from = ['--storage-ref', `${registry}/${image.repository}:${image.tag}`];
  const args = ['--json', 'mount', '--engine', engine, '--cache', join(directory, 'cache'), ...from, ...flags];
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
    return {
      ...{ root, seconds, pid },
      servedSeconds: mounted.mountMs / 1000,
      servedFromMs: Date.parse(mounted.mountedAt) - performance.timeOrigin - mounted.mountMs,
      served: async () => {
        const stat = await runMeasured({ command: [...clipyard.self, '--json', 'stat', root], env }, { signal });
        return servedOf(stat.stdout);
      },
      [Symbol.asyncDispose]: () => unmount(root, mounted.pid),
    };
  } catch (thrown) {
    await unmount(root, pid);
    throw thrown;
  }
}

function servedOf(stdout: string): Served {
  const { kernelRequests, requests, tiers, waitedUs } = Stat.parse(JSON.parse(stdout));
  const waits = tiers.filter(({ tier }) => tier === 'missing' || tier === 'coming');
  return {
    ...{ kernelRequests, requests },
    waits: waits.reduce((sum, { reads }) => sum + reads, 0),
    waitedSeconds: waitedUs / 1e6,
  };
}
