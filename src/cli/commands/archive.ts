import type { Command } from 'commander';
import type { BlobFlags } from '../actions/archive.ts';
import type { AgainstFlags } from '../actions/verify-against.ts';
import type { CommandContext, GlobalOptions } from '../context.ts';

const VERIFY_EXAMPLES = `
Examples:
  clipyard verify web.clip
  clipyard verify --deep web.clip
  clipyard verify web.clip --against rootfs              # needs root, as mount does
  clipyard verify team/web --against rootfs --ignore dirtime
`;

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

  withBlobOptions(program.command('verify <source>'))
    .description('Prove an archive: every digest, length and padding byte, and that both file trees agree')
    .option('--deep', 'also fetch every layer and prove its digest, chunks and diffID')
    .option(
      '--against <dir>',
      'compare the tree of the image, mounted, with this folder; also of WORKSPACE/IMAGE or docker://…',
    )
    .option('--ignore <fields>', 'with --against: do not compare these, e.g. mtime,dirtime,nlink,xattr:user.note')
    .option('--holes', 'with --against: also compare where files have holes')
    .option('--limit <count>', 'with --against: how many differences are shown', '20')
    .option('--store <url>', 'with --against: object store of WORKSPACE/IMAGE and docker:// sources (CLIPYARD_STORE)')
    .option('--platform <platform>', 'with --against: of a multi-platform image (default: this machine)')
    .addHelpText('after', VERIFY_EXAMPLES)
    .action(async (file: string, flags: BlobFlags & Partial<AgainstFlags>, command: Command) => {
      const { against } = flags;
      if (against !== undefined) {
        const { verifyAgainst } = await import('../actions/verify-against.ts');
        await verifyAgainst(file, { ...flags, against }, jsonOf(command), context);
        return;
      }
      const { verify } = await import('../actions/archive.ts');
      await verify(file, flags, jsonOf(command), context);
    });
}

function withBlobOptions(command: Command): Command {
  return command
    .option('--storage-ref <ref>', 'read the blobs from here instead of where the archive says')
    .option('--blobs <url>', 'read the blobs from s3://bucket/prefix or file:///dir (blobs/sha256/…), not the registry')
    .option('--cache <dir>', 'cache directory (CLIPYARD_CACHE)')
    .option('--plain-http', 'speak http to a registry that is not on this machine');
}
