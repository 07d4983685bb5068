import type { Command } from 'commander';
import type { CopyFlags, ReferrersFlags, RegistryFlags, TagFlags } from '../actions/registry.ts';
import type { CommandContext, GlobalOptions } from '../context.ts';

const DIGEST_EXAMPLES = `
Examples:
  clipyard digest registry.example/app:1.2.3
  # type, size and platforms, too
  clipyard --json digest registry.example/app:latest

Exit code 66 (REGISTRY_NOT_FOUND) means that the registry says there is none; any other failure says nothing about that.
`;
const TAG_EXAMPLES = `
Examples:
  # the version first, latest last: none is set after one that fails
  clipyard tag registry.example/app:sha-1a2b3c4 1.2.3 1.2 latest
  # what it would do; only reads
  clipyard tag registry.example/app@sha256:… stable --dry-run
  # a tag that must never name another image
  clipyard tag registry.example/app:sha-1a2b3c4 1.2.3 --permanent
  # the tags that \`clipyard tags\` calculated: after 1.3.0 this sets 1.2.4 and 1.2, and leaves latest
  clipyard tag registry.example/app:ci-app 1.2.4 1.2 latest --release 1.2.4

The image's bytes stay as they are: no blob is read or written, and attestations and signatures follow.
`;
const COPY_EXAMPLES = `
Examples:
  # to another registry, with signatures and SBOMs; again, if it breaks off: what is there is not sent
  clipyard copy registry.example/app:1.2.3 mirror.example/app
  # what would be sent; only reads
  clipyard copy registry.example/app:1.2.3 mirror.example/app:stable --dry-run

All platforms and their attestations are copied, unless --platform names one: DST is then that image, not an index. Without a tag in DST it gets the tag of SRC.
`;
const REFERRERS_EXAMPLES = `
Examples:
  clipyard referrers registry.example/app:1.2.3
  clipyard --json referrers registry.example/app:1.2.3 --artifact-type application/spdx+json
`;

/** Commands that speak to a registry and build nothing. */
export function addRegistryCommands(program: Command, context: CommandContext): void {
  withPlainHttp(program.command('digest <ref>'))
    .description('Print the digest that a registry has for a reference')
    .addHelpText('after', DIGEST_EXAMPLES)
    .action(async (reference: string, flags: RegistryFlags, command: Command) => {
      const { digest } = await import('../actions/registry.ts');
      await digest(reference, flags, isJson(command), context);
    });
  withPlainHttp(program.command('tag <src> <tags...>'))
    .description('Give an image further tags in its repository, byte for byte, in order')
    .option('--dry-run', 'look and check only')
    .option('--permanent', 'refuse to move a tag that names another image')
    .option(
      '--release <version>',
      'they are the tags of this release: versions and commits are permanent, latest, 1 and 1.2 stay with a higher version',
    )
    .addHelpText('after', TAG_EXAMPLES)
    .action(async (source: string, tags: readonly string[], flags: TagFlags, command: Command) => {
      const { tag } = await import('../actions/registry.ts');
      await tag(source, tags, flags, isJson(command), context);
    });
  withPlainHttp(program.command('copy <src> <dst>'))
    .description('Copy an image between repositories or registries, with what refers to it')
    .option('--dry-run', 'look and count only')
    .option('--platform <os/arch>', 'of an index that image alone, without its attestations')
    .option('--no-referrers', 'leave signatures and the like behind')
    .addHelpText('after', COPY_EXAMPLES)
    .action(async (source: string, target: string, flags: CopyFlags, command: Command) => {
      const { copy } = await import('../actions/registry.ts');
      await copy(source, target, flags, isJson(command), context);
    });
  withPlainHttp(program.command('referrers <ref>'))
    .description('List what names an image as its subject: signatures, SBOMs, scans')
    .option('--artifact-type <type>', 'only of this kind')
    .addHelpText('after', REFERRERS_EXAMPLES)
    .action(async (reference: string, flags: ReferrersFlags, command: Command) => {
      const { referrers } = await import('../actions/registry.ts');
      await referrers(reference, flags, isJson(command), context);
    });
}

function withPlainHttp(command: Command): Command {
  return command.option('--plain-http', 'speak plain http to the registry; loopback always may');
}

function isJson(command: Command): boolean {
  return command.optsWithGlobals<GlobalOptions>().json === true;
}
