import type { Command } from 'commander';
import type { GcFlags, VerifyFlags } from '../actions/cache.ts';
import type { CommandContext, GlobalOptions } from '../context.ts';
import { addLayerCacheCommands } from './layer-cache.ts';

const jsonOf = (command: Command) => command.optsWithGlobals<GlobalOptions>().json ?? false;

/** `cache ls|gc|verify`: upkeep of the pack cache. Builds may run meanwhile. */
export function addCacheCommands(program: Command, context: CommandContext): void {
  const cache = program
    .command('cache')
    .description('Look after the pack cache: the indexes and blobs of layers packed before, and archives made of them')
    .addHelpText(
      'after',
      '\nExamples:\n  clipyard cache ls\n  clipyard cache gc --max-size 5GB\n  clipyard cache verify\n',
    );

  cache
    .command('ls')
    .description('List the entries, the longest unused first')
    .addHelpText('after', '\nExamples:\n  clipyard cache ls\n  clipyard --json cache ls\n')
    .action(async (_flags: unknown, command: Command) => {
      const { list } = await import('../actions/cache.ts');
      await list(jsonOf(command), context);
    });

  cache
    .command('gc')
    .description('Remove what was unused for longest until the rest fits; archives and blobs go before indexes')
    .option('--max-size <size>', 'what may stay of the pack cache, and of landing layouts (CLIPYARD_PACK_CACHE_SIZE)')
    .option('--older-than <age>', 'empty landing layouts that no build used for so long', '7d')
    .option('--dry-run', 'only say what would go')
    .addHelpText(
      'after',
      '\nExamples:\n  clipyard cache gc --max-size 5GB --dry-run\n  clipyard cache gc --max-size 0\n',
    )
    .action(async (flags: GcFlags, command: Command) => {
      const { gc } = await import('../actions/cache.ts');
      await gc(flags, jsonOf(command), context);
    });

  cache
    .command('verify')
    .description('Prove every index, archive and blob by its digest; exit code 65 when something is damaged')
    .option('--drop', 'remove what is damaged; it is made again when it is needed')
    .addHelpText('after', '\nExamples:\n  clipyard cache verify\n  clipyard cache verify --drop\n')
    .action(async (flags: VerifyFlags, command: Command) => {
      const { verify } = await import('../actions/cache.ts');
      process.exitCode = await verify(flags, jsonOf(command), context);
    });

  addLayerCacheCommands(cache, context);
}
