import type { Command } from 'commander';
import {
  type ArchiveDescription,
  byteStringOfText,
  describe,
  fileSource,
  formatRows,
  listPath,
  nodeTree,
  openArchive,
  readDocuments,
} from '../../archive/index.ts';
import { toWorkerError } from '../../errors/index.ts';
import { verifyArchive } from '../../indexer/index.ts';
import { catFile, verifyBlobs } from '../../mount/index.ts';
import { blobOrigin } from '../blob-origin.ts';
import type { CommandContext, GlobalOptions } from '../context.ts';
import { formatBytes, formatTable, writeResult } from '../output.ts';

interface BlobFlags {
  readonly cache?: string;
  readonly storageRef?: string;
  readonly plainHttp?: boolean;
  readonly deep?: boolean;
}

/** `inspect`, `ls`, `cat`, `verify`: commands on an archive file. All but `cat` and `verify --deep` work offline. */
export function addArchiveCommands(program: Command, context: CommandContext): void {
  program
    .command('inspect <file>')
    .description('Show what an archive holds: header, storage reference, layers, sections, counts')
    .addHelpText('after', '\nExample:\n  clipyard inspect web.clip\n')
    .action(async (file: string, _flags: unknown, command: Command) => {
      const { json = false } = command.optsWithGlobals<GlobalOptions>();
      await using source = await fileSource(file);
      const description = await describe(await openArchive(source, context), context);
      writeResult(context.stdout, description, json, () => inspection(description));
    });

  program
    .command('ls <file> [path]')
    .description('List a folder of an archive, as ls -l does')
    .addHelpText('after', '\nExample:\n  clipyard ls web.clip /usr/bin\n')
    .action(async (file: string, path: string | undefined, _flags: unknown, command: Command) => {
      const { json = false } = command.optsWithGlobals<GlobalOptions>();
      await using source = await fileSource(file);
      const archive = await openArchive(source, context);
      const rows = listPath(nodeTree(await archive.nodes(context)), byteStringOfText(path ?? '/'));
      writeResult(context.stdout, rows, json, () =>
        formatRows(rows)
          .map((row) => `${row}\n`)
          .join(''),
      );
    });

  program
    .command('cat <file> <path>')
    .description('Write a file of the image to stdout; only its chunks are fetched, and each is verified')
    .option('--storage-ref <ref>', 'read the blobs from here instead of where the archive says')
    .option('--cache <dir>', 'cache directory (CLIPYARD_CACHE)')
    .option('--plain-http', 'speak http to a registry that is not on this machine')
    .addHelpText('after', '\nExample:\n  clipyard cat web.clip /etc/os-release\n')
    .action(async (file: string, path: string, flags: BlobFlags) => {
      await catFile(await sourceOf(file, flags, context), path, 1, context);
    });

  program
    .command('verify <file>')
    .description('Prove an archive: every digest, length and padding byte, and that both file trees agree')
    .option('--deep', 'also fetch every layer and prove its digest, chunks and diffID')
    .option('--storage-ref <ref>', 'read the blobs from here instead of where the archive says')
    .option('--cache <dir>', 'cache directory (CLIPYARD_CACHE)')
    .option('--plain-http', 'speak http to a registry that is not on this machine')
    .addHelpText('after', '\nExamples:\n  clipyard verify web.clip\n  clipyard verify --deep web.clip\n')
    .action(async (file: string, flags: BlobFlags, command: Command) => {
      const { json = false } = command.optsWithGlobals<GlobalOptions>();
      await using source = await fileSource(file).catch((thrown: unknown) => {
        throw toWorkerError(thrown, `open ${file}`);
      });
      await (await openArchive(source, context)).verify(context);
      const offline = await verifyArchive(file, context);
      const deep = flags.deep === true ? await verifyBlobs(await sourceOf(file, flags, context), context) : undefined;
      const result = { ok: true, ...offline, ...(deep !== undefined && { deep }) };
      writeResult(
        context.stdout,
        result,
        json,
        () =>
          `${file}: ok (${offline.kind}, ${offline.entries} entries${deep === undefined ? '' : `; ${deep.layers} layers, ${formatBytes(deep.bytes)} proven`})\n`,
      );
    });
}

async function sourceOf(file: string, flags: BlobFlags, context: CommandContext) {
  await using source = await fileSource(file);
  const { storage } = await readDocuments(source, context);
  const origin = await blobOrigin(storage, flags, context);
  return { archive: file, cacheDir: flags.cache ?? context.settings.cacheDir, origin };
}

function inspection(description: ArchiveDescription): string {
  const { counts, kind, layers, sections, sizeBytes, storageRef } = description;
  const layerRows = layers.map(({ blobBytes, chunks, codec, digest, plainBytes, spans }) => [
    digest.slice(0, 19),
    codec ?? '',
    String(chunks ?? ''),
    String(spans ?? ''),
    formatBytes(plainBytes ?? 0),
    formatBytes(blobBytes ?? 0),
  ]);
  const sectionRows = sections.map(({ digest, name, offset, plainBytes, storedBytes }) => [
    name,
    String(offset),
    formatBytes(storedBytes),
    formatBytes(plainBytes),
    digest.slice(0, 19),
  ]);
  return [
    `${kind} archive, ${formatBytes(sizeBytes)}, ${counts.entries} entries (${counts.files} files, ${counts.directories} folders)\n`,
    ...(storageRef === undefined ? [] : [`blobs at ${storageRef}\n`]),
    formatTable(['layer', 'codec', 'chunks >', 'spans >', 'plain >', 'stored >'], layerRows),
    ...(sections.length === 0
      ? []
      : [formatTable(['section', 'offset >', 'stored >', 'plain >', 'digest'], sectionRows)]),
  ].join('\n');
}
