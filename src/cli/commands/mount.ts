import { type Command, Option } from 'commander';
import type { MountFlags, MountsFlags, StatFlags } from '../actions/mount.ts';
import { collect } from '../collect.ts';
import type { CommandContext, GlobalOptions } from '../context.ts';

const EXAMPLES = `
Examples:
  clipyard mount team/web /mnt/web                         # from the configured store
  clipyard mount --store s3://archives/prod team/web /mnt/web
  clipyard mount web.clip /mnt/web                         # an archive file
  clipyard mount docker://127.0.0.1:5000/images:web /mnt/web
  clipyard mount --engine fuse web.clip ~/web               # also without root, through fusermount3
  clipyard mount --storage-ref mirror.example/images:web web.clip /mnt/web   # the blobs have moved
  clipyard mount --blobs s3://images/web web.clip /mnt/web                   # an OCI layout in a bucket
  clipyard mount --mirror http://127.0.0.1:30020 team/web /mnt/web           # a node-local mirror first
  clipyard mount --rw /var/lib/web team/web /mnt/web       # writable; the changes are kept in /var/lib/web
  clipyard mount --profile auto team/web /mnt/web          # fetch first what recorded starts read
  clipyard mount --trace start.trace team/web /mnt/web
  clipyard umount /mnt/web
`;

const jsonOf = (command: Command) => command.optsWithGlobals<GlobalOptions>().json ?? false;

/** `mount`, `umount`, `mounts`, `stat`. */
export function addMountCommands(program: Command, context: CommandContext): void {
  withMountOptions(program.command('mount <source> <dir>'))
    .option('--rw <dir>', 'make it writable; changes go into this folder (kernel overlay)')
    .description('Mount an image; file data comes from the registry when it is read, verified')
    .addHelpText('after', EXAMPLES)
    .action(async (source: string, dir: string, flags: MountFlags, command: Command) => {
      const { mount } = await import('../actions/mount.ts');
      await mount(source, dir, flags, jsonOf(command), context);
    });

  program
    .command('umount <dir>')
    .description('Unmount, and show what the mount did')
    .addHelpText('after', '\nExample:\n  clipyard umount /mnt/web\n')
    .action(async (dir: string, _flags: unknown, command: Command) => {
      const { umount } = await import('../actions/mount.ts');
      await umount(dir, jsonOf(command), context);
    });

  program
    .command('mounts')
    .description('List the mounts of the mount daemon')
    .option('--repair', 'first take away mounts whose daemon and holder were killed, and what a reboot left')
    .addHelpText('after', '\nExamples:\n  clipyard mounts\n  clipyard mounts --repair\n')
    .action(async (flags: MountsFlags, command: Command) => {
      const { mounts } = await import('../actions/mount.ts');
      await mounts(flags, jsonOf(command), context);
    });

  program
    .command('stat <dir>')
    .description('Show what a mount did so far: bytes wanted and fetched, requests, layers')
    .option(
      '--files <source>',
      'name the slowest files, from the archive of the image (file, s3://, docker://, WORKSPACE/IMAGE)',
    )
    .option('--store <url>', 'object store of WORKSPACE/IMAGE and docker:// sources (CLIPYARD_STORE)')
    .option('--platform <platform>', 'of a multi-platform image (default: this machine)')
    .addHelpText('after', '\nExamples:\n  clipyard stat /mnt/web\n  clipyard stat /mnt/web --files team/web\n')
    .action(async (dir: string, flags: StatFlags, command: Command) => {
      const { stat } = await import('../actions/mount.ts');
      await stat(dir, flags, jsonOf(command), context);
    });
}

/** The options that say where archive and blobs come from. */
export function withMountOptions(command: Command): Command {
  return command
    .option('--store <url>', 'object store of WORKSPACE/IMAGE and docker:// sources (CLIPYARD_STORE)')
    .option('--cache <dir>', 'cache directory, on a real filesystem (CLIPYARD_CACHE)')
    .option('--cache-size <size>', 'evict unused layers beyond this size; for a daemon that this command starts')
    .option('--cache-min-free <size>', 'keep this much free there: a size, or a share as 5%; for a daemon as above')
    .option('--pin', 'keep the layers in the cache until `clipyard cache layers unpin`, also after umount')
    .option('--storage-ref <ref>', 'read the blobs from here instead of where the archive says')
    .option('--mirror <url>', 'server to ask for blobs before the registry; again for more, in order', collect, [])
    .option('--blobs <url>', 'read the blobs from s3://bucket/prefix or file:///dir (blobs/sha256/…), not the registry')
    .option('--max-requests <n>', 'requests in flight for this mount (default: what the daemon allows for all)')
    .option('--fetch-memory <size>', 'what requests in flight for this mount may hold (default: as the daemon)')
    .option('--bandwidth <size>', 'what this mount may fetch in a second, as 10MB (default: no limit)')
    .option('--platform <platform>', 'of a multi-platform image (default: this machine)')
    .addOption(
      new Option('--engine <engine>', 'who shows the tree: the kernel (erofs), the daemon (fuse), or what works here')
        .choices(['auto', 'erofs', 'fuse'])
        .default('auto'),
    )
    .addOption(
      new Option(
        '--page-cache <copies>',
        'copies of file data in memory, engine erofs: the mounts share one more (shared), or only their own (single)',
      ).choices(['shared', 'single']),
    )
    .option('--plain-http', 'speak http to a registry that is not on this machine')
    .option('--trace <file>', 'record what is read first; written when the mount ends (see `clipyard explain`)')
    .option(
      '--profile <name>',
      'fetch first what recorded starts read: auto (where there is none, record it), a trace or profile file, or WORKSPACE/IMAGE',
    )
    .option('--record', "make this start a part of the image's profile when it ends, also where there is one")
    .option('--complete <rate>', 'then fetch the rest in the background, at most so many plain bytes a second (20MB)')
    .option('--entry <text>', 'what runs on the mount: profiles are kept for each (run: its command)');
}
