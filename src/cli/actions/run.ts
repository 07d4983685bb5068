import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import {
  type ContainerRuntime,
  createWorkDirectory,
  removeWorkDirectory,
  runContainer,
  unmount,
} from '../../mount/index.ts';
import type { CommandContext } from '../context.ts';
import { parsePairs } from '../parse-options.ts';
import { type MountFlags, mountDaemon, mountSource, publishStarts, statLine } from './mount.ts';

export interface RunFlags extends MountFlags {
  readonly rw?: string;
  readonly env: readonly string[];
  readonly workdir?: string;
  readonly user?: string;
  readonly runtime: ContainerRuntime;
  readonly stats?: boolean;
}

/** Unmounting must work even when the command was interrupted. */
const UNMOUNT_DEADLINE_MS = 30_000;
/** Of a store that does not answer the next command tries again. */
const PUBLISH_DEADLINE_MS = 10_000;

/** `clipyard run`: the exit code of the command in the container. */
export async function run(
  source: string,
  args: readonly string[],
  flags: RunFlags,
  json: boolean,
  context: CommandContext,
): Promise<number> {
  const { signal } = context;
  const env = Object.entries(parsePairs(flags.env, context.env, '--env')).map(([name, value]) => `${name}=${value}`);
  const daemon = mountDaemon(context);
  const workDir = await createWorkDirectory(daemon, context);
  const lower = join(workDir, 'image');
  await mkdir(lower);
  try {
    const { archive, mounted } = await mountSource(
      source,
      lower,
      { ...flags, rw: undefined },
      context,
      ({ config = {} }) => (args.length > 0 ? args : [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])]).join(' '),
    );
    try {
      const { config = {} } = archive.config;
      return await runContainer(
        {
          runtime: flags.runtime,
          lower,
          workDir,
          ...(flags.rw !== undefined && { writable: resolve(flags.rw) }),
          image: {
            env: config.Env ?? [],
            entrypoint: config.Entrypoint ?? [],
            cmd: config.Cmd ?? [],
            workingDir: flags.workdir ?? config.WorkingDir ?? '/',
            user: flags.user ?? config.User ?? '',
          },
          args,
          env,
          containerId: `clipyard-${mounted.record.id}`,
          terminal: process.stdin.isTTY && process.stdout.isTTY,
        },
        { signal },
      );
    } finally {
      const stat = await unmount(daemon, lower, { signal: AbortSignal.timeout(UNMOUNT_DEADLINE_MS) });
      await publishStarts(context, AbortSignal.timeout(PUBLISH_DEADLINE_MS));
      if (stat !== undefined && json)
        context.stderr.write(
          `${JSON.stringify({ event: 'stat', mountMs: mounted.mountMs, archiveBytes: archive.fetchedBytes, ...stat })}\n`,
        );
      else if (stat !== undefined && flags.stats === true) context.stderr.write(`clipyard: ${statLine(stat)}\n`);
    }
  } finally {
    await removeWorkDirectory(workDir);
  }
}
