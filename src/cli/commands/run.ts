import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { runContainer, unmount } from '../../mount/index.ts';
import type { CommandContext, GlobalOptions } from '../context.ts';
import { collect } from './build.ts';
import { type MountFlags, mountSource, statLine, withMountOptions } from './mount.ts';

interface RunFlags extends MountFlags {
  readonly rw?: string;
  readonly env: readonly string[];
  readonly workdir?: string;
  readonly user?: string;
  readonly stats?: boolean;
}

const EXAMPLES = `
Examples:
  clipyard run team/web -- python3 -c 'import numpy; print(numpy.__version__)'
  clipyard run --rw /var/lib/web team/web            # the image's own command; changes are kept
  clipyard run --env DEBUG=1 web.clip -- /bin/sh
`;

/** Unmounting must work even when the command was interrupted. */
const UNMOUNT_DEADLINE_MS = 30_000;

export function addRunCommand(program: Command, context: CommandContext): void {
  withMountOptions(
    program
      .command('run <source> [command...]')
      .description('Mount an image and run a command in a container on it (runc, overlay on top)'),
  )
    .option('--rw <dir>', 'keep changes in this folder (default: thrown away)')
    .option('--env <name=value>', 'environment variable', collect, [])
    .option('--workdir <dir>', 'working directory (default: as the image says)')
    .option('--user <user>', 'user (default: as the image says)')
    .option('--stats', 'show on stderr what was fetched')
    .addHelpText('after', EXAMPLES)
    .action(async (source: string, args: readonly string[], flags: RunFlags, command: Command) => {
      const { json = false } = command.optsWithGlobals<GlobalOptions>();
      process.exitCode = await runOnMount(source, args, flags, json, context);
    });
}

async function runOnMount(
  source: string,
  args: readonly string[],
  flags: RunFlags,
  json: boolean,
  context: CommandContext,
): Promise<number> {
  const { settings, signal } = context;
  const root = join(settings.stateDir, 'runs');
  await mkdir(root, { recursive: true });
  const workDir = await mkdtemp(join(root, 'run-'));
  const lower = join(workDir, 'image');
  await mkdir(lower);
  try {
    const { archive, mounted } = await mountSource(source, lower, flags, context);
    try {
      const { config = {} } = archive.config;
      return await runContainer(
        {
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
          env: flags.env,
          containerId: `clipyard-${mounted.record.id}`,
          terminal: process.stdin.isTTY && process.stdout.isTTY,
        },
        { signal },
      );
    } finally {
      const stat = await unmount(settings.stateDir, lower, { signal: AbortSignal.timeout(UNMOUNT_DEADLINE_MS) });
      if (stat !== undefined && json)
        context.stderr.write(
          `${JSON.stringify({ event: 'stat', mountMs: mounted.mountMs, archiveBytes: archive.fetchedBytes, ...stat })}\n`,
        );
      else if (stat !== undefined && flags.stats === true) context.stderr.write(`clipyard: ${statLine(stat)}\n`);
    }
  } finally {
    await rm(workDir, { recursive: true, force: true });
  }
}
