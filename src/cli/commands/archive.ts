import type { Command } from 'commander';
import type { BlobFlags } from '../actions/archive.ts';
import type { CommandContext, GlobalOptions } from '../context.ts';

const jsonOf = (command: Command) => command.optsWithGlobals<GlobalOptions>().json ?? false;

/** `inspect`, `ls`, `cat`, `verify`: commands on an archive file. All but `cat` and `verify --deep` work offline. */
export function addArchiveCommands(program: Command, context: CommandContext): void {
  program
    .command('inspect <file>')
    .description('Show what an archive holds: header, storage reference, layers, sections, counts')
    .addHelpText('after', '\nExample:\n  clipyard inspect web.clip\n')
    .action(async (file: string, _flags: unknown, command: Command) => {
      const { inspect } = await import('../actions/archive.ts');
      await inspect(file, jsonOf(command), context);
    });

  program
    .command('ls <file> [path]')
    .description('List a folder of an archive, as ls -l does')
    .addHelpText('after', '\nExample:\n  clipyard ls web.clip /usr/bin\n')
    .action(async (file: string, path: string | undefined, _flags: unknown, command: Command) => {
      const { list } = await import('../actions/archive.ts');
      await list(file, path ?? '/', jsonOf(command), context);
    });

  withBlobOptions(program.command('cat <file> <path>'))
    .description('Write a file of the image to stdout; only its chunks are fetched, and each is verified')
    .addHelpText('after', '\nExample:\n  clipyard cat web.clip /etc/os-release\n')
    .action(async (file: string, path: string, flags: BlobFlags) => {
      const { cat } = await import('../actions/archive.ts');
      await cat(file, path, flags, context);
    });

  withBlobOptions(program.command('verify <file>'))
    .description('Prove an archive: every digest, length and padding byte, and that both file trees agree')
    .option('--deep', 'also fetch every layer and prove its digest, chunks and diffID')
    .addHelpText('after', '\nExamples:\n  clipyard verify web.clip\n  clipyard verify --deep web.clip\n')
    .action(async (file: string, flags: BlobFlags, command: Command) => {
      const { verify } = await import('../actions/archive.ts');
      await verify(file, flags, jsonOf(command), context);
    });
}

function withBlobOptions(command: Command): Command {
  return command
    .option('--storage-ref <ref>', 'read the blobs from here instead of where the archive says')
    .option('--cache <dir>', 'cache directory (CLIPYARD_CACHE)')
    .option('--plain-http', 'speak http to a registry that is not on this machine');
}
