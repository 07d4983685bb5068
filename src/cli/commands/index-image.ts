import { availableParallelism } from 'node:os';
import { type Command, Option } from 'commander';
import type { IndexFlags } from '../actions/index-image.ts';
import { collect } from '../collect.ts';
import type { CommandContext, GlobalOptions } from '../context.ts';

const EXAMPLES = `
Examples:
  # an OCI layout on this machine; runtimes will read the blobs from the registry
  clipyard index --from oci:out:latest --storage-ref registry.example:5000/images:web --output web.clip
  # an image in a registry: its layers are streamed once
  clipyard index --from docker://127.0.0.1:5000/images:web --output web.clip
`;

export function addIndexCommand(program: Command, context: CommandContext): void {
  program
    .command('index')
    .description('Make a lazy archive for an image that is there already; its layers keep their bytes')
    .requiredOption('--from <source>', 'oci:DIR[:NAME] or docker://REF')
    .option('--storage-ref <ref>', 'where runtimes read the blobs (default for docker://: the same reference)')
    .requiredOption('--output <file>', 'the archive')
    .addOption(
      new Option('--engine <name>', 'portable needs no native tool; the first mount of its archive reads every layer')
        .choices(['auto', 'native', 'portable'])
        .default('auto', 'native where its tool is built'),
    )
    .addOption(
      new Option('--archive-format <format>', 'clipyard: an index, v1: a CLIP archive with the files inside')
        .choices(['clipyard', 'v1'])
        .default('clipyard'),
    )
    .option('--jobs <n>', 'cores to use', String(availableParallelism()))
    .option('--no-cache', 'read every layer and make the archive, whatever was made before')
    .option('--pack-cache-store <url>', 'share indexes of layers through an object store (CLIPYARD_PACK_CACHE)')
    .option('--platform <platform>', 'of a multi-platform image (default: this machine)')
    .option('--chunk <size>', 'plain bytes of a chunk, a power of two', '256KiB')
    .option(
      '--limit <name=value>',
      'what a layer may cost, e.g. entries=1000 (docs/configuration.md, CLIPYARD_LIMIT_…)',
      collect,
      [],
    )
    .option('--plain-http', 'speak http to a registry that is not on this machine')
    .addHelpText('after', EXAMPLES)
    .action(async (flags: IndexFlags, command: Command) => {
      const { json = false } = command.optsWithGlobals<GlobalOptions>();
      const { index } = await import('../actions/index-image.ts');
      await index(flags, json, context);
    });
}
