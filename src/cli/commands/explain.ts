import type { Command } from 'commander';
import type { ExplainFlags } from '../actions/explain.ts';
import type { ProfileFlags } from '../actions/profile.ts';
import type { CommandContext, GlobalOptions } from '../context.ts';

const EXAMPLES = `
Examples:
  clipyard run --trace start.trace team/web -- python3 -m app
  clipyard explain start.trace --archive team/web
  clipyard explain start.trace --archive web.clip --html start.html
`;

const PROFILE_EXAMPLE = '\nExample:\n  clipyard profile publish team/web start1.trace start2.trace\n';

/** `explain`, `trace`, `profile publish`. */
export function addExplainCommand(program: Command, context: CommandContext): void {
  program
    .command('explain <trace>')
    .description('Show what a start waited for, file by file, and what would have made it faster')
    .option(
      '--archive <source>',
      'the image (file, s3://, docker://, WORKSPACE/IMAGE): names files, simulates other ways',
    )
    .option('--store <url>', 'object store of WORKSPACE/IMAGE and docker:// sources (CLIPYARD_STORE)')
    .option('--platform <platform>', 'of a multi-platform image (default: this machine)')
    .option('--plain-http', 'speak http to a registry that is not on this machine')
    .option('--html <file>', 'write a page with charts as well')
    .addHelpText('after', EXAMPLES)
    .action(async (trace: string, flags: ExplainFlags, command: Command) => {
      const { json = false } = command.optsWithGlobals<GlobalOptions>();
      const { explain } = await import('../actions/explain.ts');
      await explain(trace, flags, json, context);
    });

  program
    .command('trace <dir>')
    .description('Print what a mount touched so far, as `mount --trace` writes it at its end')
    .addHelpText('after', '\nExample:\n  clipyard trace /mnt/web > start.trace\n')
    .action(async (dir: string) => {
      const { trace } = await import('../actions/profile.ts');
      await trace(dir, context);
    });

  program
    .command('profile')
    .description('Profiles of starts: what `mount --profile auto` fetches first')
    .addHelpText('after', PROFILE_EXAMPLE)
    .command('publish <image> <traces...>')
    .description('Merge traces into the profile of WORKSPACE/IMAGE in the store; the next build of it finds it, too')
    .option('--store <url>', 'object store (CLIPYARD_STORE)')
    .option('--entry <text>', 'what ran (default: as the traces say)')
    .option('--platform <platform>', 'of a multi-platform image (default: this machine)')
    .addHelpText('after', PROFILE_EXAMPLE)
    .action(async (image: string, traces: string[], flags: ProfileFlags, command: Command) => {
      const { json = false } = command.optsWithGlobals<GlobalOptions>();
      const { publish } = await import('../actions/profile.ts');
      await publish(image, traces, flags, json, context);
    });
}
