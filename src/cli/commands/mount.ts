import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { type MountableArchive, openArchiveSource } from '../../jobs/index.ts';
import { listMountRecords, type Mounted, type MountStat, serveMount, statMount, unmount } from '../../mount/index.ts';
import { formatPlatform, localPlatform } from '../../oci/index.ts';
import { formatReference } from '../../registry/index.ts';
import { blobOrigin } from '../blob-origin.ts';
import type { CommandContext, GlobalOptions } from '../context.ts';
import { formatBytes, formatTable, writeResult } from '../output.ts';
import { objectStore, registryClient } from '../services.ts';

export interface MountFlags {
  readonly store?: string;
  readonly cache?: string;
  readonly storageRef?: string;
  readonly platform?: string;
  readonly plainHttp?: boolean;
}

const EXAMPLES = `
Examples:
  clipyard mount team/web /mnt/web                         # from the configured store
  clipyard mount --store s3://archives/prod team/web /mnt/web
  clipyard mount web.clip /mnt/web                         # an archive file
  clipyard mount docker://127.0.0.1:5000/images:web /mnt/web
  clipyard mount --storage-ref mirror.example/images:web web.clip /mnt/web   # the blobs have moved
  clipyard umount /mnt/web
`;

/** `mount`, `umount`, `mounts`, `stat`. */
export function addMountCommands(program: Command, context: CommandContext): void {
  const { settings } = context;
  withMountOptions(
    program
      .command('mount <source> <dir>')
      .description('Mount an image; file data comes from the registry when it is read, verified'),
  )
    .addHelpText('after', EXAMPLES)
    .action(async (source: string, dir: string, flags: MountFlags, command: Command) => {
      const { json = false } = command.optsWithGlobals<GlobalOptions>();
      const { mounted } = await mountSource(source, dir, flags, context);
      const { engine, mountMs, mountpoint, pid, record } = mounted;
      writeResult(
        context.stdout,
        { mountpoint, source, storageRef: record.storageRef, engine, mountMs, pid, id: record.id },
        json,
        () => `${mountpoint}: mounted (${engine}, ${mountMs.toFixed(1)} ms)\n`,
      );
    });

  program
    .command('umount <dir>')
    .description('Unmount, and show what the mount did')
    .addHelpText('after', '\nExample:\n  clipyard umount /mnt/web\n')
    .action(async (dir: string, _flags: unknown, command: Command) => {
      const { json = false } = command.optsWithGlobals<GlobalOptions>();
      const stat = await unmount(settings.stateDir, resolve(dir), context);
      writeResult(
        context.stdout,
        { mountpoint: resolve(dir), stat },
        json,
        () => `${dir}: unmounted${stat === undefined ? '' : ` (${statLine(stat)})`}\n`,
      );
    });

  program
    .command('mounts')
    .description('List the mounts of this state directory')
    .addHelpText('after', '\nExample:\n  clipyard mounts\n')
    .action(async (_flags: unknown, command: Command) => {
      const { json = false } = command.optsWithGlobals<GlobalOptions>();
      const records = await listMountRecords(settings.stateDir);
      writeResult(context.stdout, records, json, () =>
        formatTable(
          ['mountpoint', 'source', 'blobs', 'pid >', 'since'],
          records.map((r) => [r.mountpoint, r.source, r.storageRef, String(r.pid), r.startedAt]),
        ),
      );
    });

  program
    .command('stat <dir>')
    .description('Show what a mount did so far: bytes wanted and fetched, requests, layers')
    .addHelpText('after', '\nExample:\n  clipyard stat /mnt/web\n')
    .action(async (dir: string, _flags: unknown, command: Command) => {
      const { json = false } = command.optsWithGlobals<GlobalOptions>();
      const stat = await statMount(settings.stateDir, resolve(dir), context);
      writeResult(
        context.stdout,
        stat,
        json,
        () =>
          `${statLine(stat)}\n${formatTable(
            ['layer', 'mode', 'reason'],
            stat.layers.map(({ diffId, mode, reason }) => [diffId.slice(0, 19), mode, reason ?? '']),
          )}`,
      );
    });
}

/** The options that say where archive and blobs come from. */
export function withMountOptions(command: Command): Command {
  return command
    .option('--store <url>', 'object store of WORKSPACE/IMAGE and docker:// sources (CLIPYARD_STORE)')
    .option('--cache <dir>', 'cache directory, on a real filesystem (CLIPYARD_CACHE)')
    .option('--storage-ref <ref>', 'read the blobs from here instead of where the archive says')
    .option('--platform <platform>', 'of a multi-platform image (default: this machine)')
    .option('--plain-http', 'speak http to a registry that is not on this machine');
}

/** Fetches what a mount needs of the archive and starts its daemon. */
export async function mountSource(
  source: string,
  dir: string,
  flags: MountFlags,
  context: CommandContext,
): Promise<{ readonly mounted: Mounted; readonly archive: MountableArchive; readonly storageRef: string }> {
  const { log, settings, signal, tools } = context;
  const cacheDir = resolve(flags.cache ?? settings.cacheDir);
  await mkdir(cacheDir, { recursive: true });
  await using client = await registryClient(context, flags);
  const archive = await openArchiveSource(source, {
    client,
    cacheDir,
    signal,
    openStore: (url) => objectStore(context, url ?? flags.store),
    platform: flags.platform ?? formatPlatform(localPlatform()),
  });
  const origin = await blobOrigin(archive.storage, flags, context);
  const storageRef = flags.storageRef ?? formatReference(archive.storage);
  if (flags.storageRef === undefined)
    log.info({ source_ref: storageRef }, 'cached source image reference from metadata');
  const mounted = await serveMount({ archive: archive.path, cacheDir, origin }, resolve(dir), {
    signal,
    stateDir: settings.stateDir,
    tools,
    sourceName: source,
    storageRef,
  });
  return { mounted, archive, storageRef };
}

export function statLine({ fetchedBytes, requests, wantedBytes }: MountStat): string {
  return `${formatBytes(wantedBytes)} wanted, ${formatBytes(fetchedBytes)} fetched in ${requests} requests`;
}
