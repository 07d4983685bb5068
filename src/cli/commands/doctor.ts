import type { Command } from 'commander';
import type { CommandContext, GlobalOptions } from '../context.ts';

export function addDoctorCommand(program: Command, context: CommandContext): void {
  program
    .command('doctor')
    .description('Check kernel, tools, buildkitd, registry and store; say what is missing and what to do')
    .addHelpText('after', '\nExample:\n  clipyard doctor\n')
    .action(async (_flags: unknown, command: Command) => {
      const { doctor } = await import('../actions/doctor.ts');
      if (!(await doctor(command.optsWithGlobals<GlobalOptions>().json ?? false, context))) process.exitCode = 75;
    });
}
