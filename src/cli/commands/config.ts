import type { Command } from 'commander';
import type { ConfigFlags } from '../actions/config.ts';
import type { CommandContext, GlobalOptions } from '../context.ts';

const EXAMPLES = `
Examples:
  # the CLIPYARD_* variables of this shell: what each is, where that comes from, what is wrong with it
  clipyard config check
  # the files of other commands too, before they are deployed
  clipyard config check --worker worker.json --matrix matrix.yaml --services clipyard.yaml
`;

/** `config check`. */
export function addConfigCommands(program: Command, context: CommandContext): void {
  program
    .command('config')
    .description('Settings of this machine and files of commands (docs/configuration.md)')
    .addHelpText('after', EXAMPLES)
    .command('check')
    .description('Check settings and files, and show what is in force; asks no network')
    .option('--worker <file>', 'configuration of `clipyard worker`')
    .option('--matrix <file>', 'configuration of `clipyard matrix`')
    .option('--services <file>', 'services file of `clipyard services`')
    .addHelpText('after', EXAMPLES)
    .action(async (flags: ConfigFlags, command: Command) => {
      const { checkConfig } = await import('../actions/config.ts');
      await checkConfig(flags, command.optsWithGlobals<GlobalOptions>().json ?? false, context);
    });
}
