import { type Command, Option } from 'commander';
import type { RetentionFlags } from '../actions/retention.ts';
import { collect } from '../collect.ts';
import type { CommandContext, GlobalOptions } from '../context.ts';
import { PACKAGES_API_HELP } from './build-options.ts';

const EXAMPLES = `
Examples:
  # what would go, and why
  clipyard retention registry.example/app --keep 5 --dry-run
  # a digest that somebody pins, and the store whose archives are mounted
  clipyard retention registry.example/app --keep 5 --protect sha256:… --store s3://clipyard/store
  # GitHub's registry, through its packages API (GITHUB_TOKEN with read:packages, write:packages, delete:packages)
  clipyard --json retention ghcr.io/owner/app --keep 10 --order version --no-store
`;

export function addRetentionCommand(program: Command, context: CommandContext): void {
  program
    .command('retention')
    .argument('<repository>', 'HOST/REPOSITORY, without a tag')
    .description(
      'Delete old releases with all that only they need; never what anything kept reaches (docs/retention.md)',
    )
    .requiredOption('--keep <n>', 'so many of the newest releases; a release is a version with all its variants')
    .addOption(
      new Option('--order <order>', 'newest by when the image was made, or by version')
        .choices(['created', 'version'])
        .default('created'),
    )
    .option('--grace <age>', 'untagged manifests that are younger stay', '24h')
    .option('--protect <digest>', 'stays with all that belongs to it (repeatable)', collect, [])
    .option('--variant <suffix>', 'tag suffix that is a variant, no prerelease: python3.9 (repeatable)', collect, [])
    .option('--commit-tags', 'commit tags go with the expired release they stand on')
    .option('--store <url>', 'what its pointers and manifests name stays (repeatable; CLIPYARD_STORE)', collect, [])
    .option('--no-store', 'no store: nothing is mounted from this repository by archives')
    .option('--store-is-empty', 'a store that names nothing of the repository is the right one all the same')
    .option('--packages-api <url>', PACKAGES_API_HELP)
    .option('--plain-http', 'speak plain http to a registry that is not on loopback')
    .option('--dry-run', 'only say what would go; nothing is written')
    .addHelpText('after', EXAMPLES)
    .action(async (repository: string, flags: RetentionFlags, command: Command) => {
      const { json = false } = command.optsWithGlobals<GlobalOptions>();
      const { retention } = await import('../actions/retention.ts');
      await retention(repository, flags, json, context);
    });
}
