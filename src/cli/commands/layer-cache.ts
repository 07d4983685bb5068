import type { Command } from 'commander';
import type { CollectFlags } from '../actions/layer-cache.ts';
import type { CommandContext, GlobalOptions } from '../context.ts';

const jsonOf = (command: Command) => command.optsWithGlobals<GlobalOptions>().json ?? false;

/** `cache layers ls|gc|verify|pin|unpin`: upkeep of the runtime cache, its archives too. Images may be mounted meanwhile. */
export function addLayerCacheCommands(cache: Command, context: CommandContext): void {
  const layers = cache
    .command('layers')
    .description('Look after the runtime cache: layer data and archives that mounts have fetched')
    .option('--cache <dir>', 'the cache directory (CLIPYARD_CACHE)')
    .addHelpText(
      'after',
      '\nExamples:\n  clipyard cache layers ls\n  clipyard cache layers gc --max-size 20GB --dry-run\n  clipyard cache layers verify\n',
    );
  const directoryOf = (command: Command) => command.optsWithGlobals<{ cache?: string }>().cache;

  layers
    .command('ls')
    .description('List layers and archives, the longest unused first')
    .addHelpText('after', '\nExample:\n  clipyard --json cache layers ls\n')
    .action(async (_flags: unknown, command: Command) => {
      const { list } = await import('../actions/layer-cache.ts');
      await list(directoryOf(command), jsonOf(command), context);
    });

  layers
    .command('gc')
    .description('Remove layers and archives that no mount uses, the longest unused first, until the rest fits')
    .requiredOption('--max-size <size>', 'what may stay')
    .option('--dry-run', 'only say what would go')
    .addHelpText('after', '\nExample:\n  clipyard cache layers gc --max-size 20GB --dry-run\n')
    .action(async (flags: CollectFlags, command: Command) => {
      const { gc } = await import('../actions/layer-cache.ts');
      await gc(directoryOf(command), flags, jsonOf(command), context);
    });

  layers
    .command('verify')
    .description(
      'Prove every cached chunk and archive; damaged ones go and are fetched again; exit code 65 when there were any',
    )
    .addHelpText('after', '\nExample:\n  clipyard cache layers verify\n')
    .action(async (_flags: unknown, command: Command) => {
      const { verify } = await import('../actions/layer-cache.ts');
      process.exitCode = await verify(directoryOf(command), jsonOf(command), context);
    });

  for (const pinned of [true, false])
    layers
      .command(pinned ? 'pin' : 'unpin')
      .description(pinned ? 'Keep a layer from being evicted' : 'Let a pinned layer be evicted again')
      .argument('<diffid>', 'sha256:… of the plain layer, or its first characters')
      .addHelpText('after', `\nExample:\n  clipyard cache layers ${pinned ? 'pin' : 'unpin'} sha256:3fa2\n`)
      .action(async (diffId: string, _flags: unknown, command: Command) => {
        const { pin } = await import('../actions/layer-cache.ts');
        await pin(directoryOf(command), { diffId, pinned }, jsonOf(command), context);
      });
}
