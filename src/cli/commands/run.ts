import { type Command, Option } from 'commander';
import type { RunFlags } from '../actions/run.ts';
import { collect } from '../collect.ts';
import type { CommandContext, GlobalOptions } from '../context.ts';
import { withMountOptions } from './mount.ts';

const EXAMPLES = `
Examples:
  clipyard run team/web -- python3 -c 'import numpy; print(numpy.__version__)'
  clipyard run --rw /var/lib/web team/web            # the image's own command; changes are kept
  clipyard run --env DEBUG=1 web.clip -- /bin/sh
`;

export function addRunCommand(program: Command, context: CommandContext): void {
  withMountOptions(
    program
      .command('run <source> [command...]')
      .description('Mount an image and run a command in a container on it (overlay on top)'),
  )
    .option('--rw <dir>', 'keep changes in this folder (default: thrown away)')
    .addOption(new Option('--runtime <name>', 'what starts the container').choices(['runc', 'crun']).default('runc'))
    .option('--env <name=value>', 'environment variable; a bare name takes its value from here', collect, [])
    .option('--workdir <dir>', 'working directory (default: as the image says)')
    .option('--user <user>', 'user (default: as the image says)')
    .option('--stats', 'show on stderr what was fetched')
    .addHelpText('after', EXAMPLES)
    .action(async (source: string, args: readonly string[], flags: RunFlags, command: Command) => {
      const { json = false } = command.optsWithGlobals<GlobalOptions>();
      const { run } = await import('../actions/run.ts');
      process.exitCode = await run(source, args, flags, json, context);
    });
}
