import type { Command } from 'commander';
import type { BlobFlags } from '../actions/archive.ts';
import type { AgainstFlags } from '../actions/verify-against.ts';
import type { CommandContext, GlobalOptions } from '../context.ts';
import type { ListingFlags } from '../named-archive.ts';

const VERIFY_EXAMPLES = `
Examples:
  clipyard verify web.clip
  clipyard verify --deep web.clip
  clipyard verify web.clip --against rootfs              # needs root, as mount does
  clipyard verify team/web --against rootfs --ignore dirtime
`;

const LS_EXAMPLES = `
Examples:
  clipyard ls web.clip /usr/bin                                # an archive file; offline
  clipyard ls team/web /usr/bin                                # from the configured store
  clipyard ls docker://127.0.0.1:5000/images:web /usr/bin
`;

const CAT_EXAMPLES = `
Examples:
  clipyard cat web.clip /etc/os-release
  clipyard cat team/web /etc/os-release
`;

const jsonOf = (command: Command) => command.optsWithGlobals<GlobalOptions>().json ?? false;

/** `inspect`, `ls`, `cat`, `verify`: commands on an archive. On a file all but `cat` and `verify --deep` work offline. */
export function addArchiveCommands(program: Command, context: CommandContext): void {
  withListingOptions(program.command('inspect <source>'))
    .description('Show what an archive holds: header, storage reference, layers, sections, counts')
    .option('--plain-http', 'speak http to a registry that is not on this machine')
    .addHelpText('after', '\nExamples:\n  clipyard inspect web.clip\n  clipyard inspect team/web\n')
    .action(async (source: string, flags: ListingFlags, command: Command) => {
      const { inspect } = await import('../actions/archive.ts');
      await inspect(source, flags, jsonOf(command), context);
    });

  withListingOptions(program.command('ls <source> [path]'))
    .description('List a folder of an archive, as ls -l does')
    .option('--plain-http', 'speak http to a registry that is not on this machine')
    .addHelpText('after', LS_EXAMPLES)
    .action(async (source: string, path: string | undefined, flags: ListingFlags, command: Command) => {
      const { list } = await import('../actions/archive.ts');
      await list(source, path ?? '/', flags, jsonOf(command), context);
    });

  withBlobOptions(withListingOptions(program.command('cat <source> <path>')))
    .description('Write a file of the image to stdout; only its chunks are fetched, and each is verified')
    .addHelpText('after', CAT_EXAMPLES)
    .action(async (source: string, path: string, flags: BlobFlags) => {
      const { cat } = await import('../actions/archive.ts');
      await cat(source, path, flags, context);
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

/** Of archives that are no files. */
function withListingOptions(command: Command): Command {
  return command
    .option('--store <url>', 'object store of WORKSPACE/IMAGE and docker:// sources (CLIPYARD_STORE)')
    .option('--platform <platform>', 'of a multi-platform image (default: this machine)');
}

function withBlobOptions(command: Command): Command {
  return command
    .option('--storage-ref <ref>', 'read the blobs from here instead of where the archive says')
    .option('--blobs <url>', 'read the blobs from s3://bucket/prefix or file:///dir (blobs/sha256/…), not the registry')
    .option('--cache <dir>', 'cache directory (CLIPYARD_CACHE)')
    .option('--plain-http', 'speak http to a registry that is not on this machine');
}
