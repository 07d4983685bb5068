import { type Command, Option } from 'commander';
import type { InitFlags, ServicesFlags } from '../actions/services.ts';
import { collect } from '../collect.ts';
import type { CommandContext, GlobalOptions } from '../context.ts';

/** The notes are those of services/ (TAG_NOTES): a test holds them equal; --help should not load what builds. */
const EPILOGUE = `
Tag Management:
  • The 'latest' tag moves to the newest version that is pushed
  • Version tags are permanent: they never change or move
  • Only one image has the 'latest' tag at a time

Environment:
  GITHUB_TOKEN     GitHub token with write:packages, read:packages, delete:packages (asked for when absent)
  GITHUB_USERNAME  GitHub user name (default: the organization)
  DEBUG            true: as --debug (default: false)

Examples:
  clipyard services init                                   # write clipyard.yaml from the folders found
  clipyard services --service backend                      # build what changed, push nothing
  clipyard services --all --version 1.2.0 --push           # a release: 1.2.0, then latest
  clipyard services --all --version 1.2.0 --push --dry-run # the same, without doing it
  clipyard services --list-images --service backend
  clipyard services --delete-images --service backend --version 1.0.0-rc.1
`;

export function addServicesCommand(program: Command, context: CommandContext): void {
  const services = program
    .command('services')
    .description("Build a repository's services and push what changed; list and delete their images (docs/services.md)")
    .helpOption('-h, --help', 'Show this help message')
    .option('--service <service>', 'Service to work on; may be given many times', collect, [])
    .option('--all', 'Work on all services')
    .option('--version <version>', 'Version tag; without it only latest is written')
    .option('--push', 'Push to the registry after building')
    .option('--force', 'Rebuild even if the image is present and recent')
    .option('--no-diff-check', 'Skip the check of the sources: an image that is there is up to date')
    .option('--list-images', 'List the images in the registry with their tags')
    .option('--delete-images', 'Delete images from the registry; asks at a terminal')
    .option('--org <org>', 'Organization (default: milou-sh)')
    .option('--repo <repo>', 'Repository (default: milou)')
    .option('--registry <host>', 'Registry (default: ghcr.io; CLIPYARD_REGISTRY)')
    .option('--dry-run', 'Show what would be done without doing it')
    .option('--debug', 'Say what is found out, as [DEBUG] lines')
    .option('--explain', 'Say why each service is skipped, pushed or built')
    .option('--file <file>', 'Services file (default: clipyard.yaml; without one the five services of ../<repo>)')
    .addOption(
      new Option('--latest <when>', 'latest moves: auto (never to an older version), always, never')
        .choices(['auto', 'always', 'never'])
        .default('auto'),
    )
    .addOption(new Option('--login <how>', 'by a GitHub token, or as docker does').choices(['github', 'docker']))
    .option(
      '--packages-api <url>',
      "GitHub's packages API for listing and deleting; for ghcr.io of itself (CLIPYARD_PACKAGES_API)",
    )
    .option('--jobs <n>', 'Services built at once', '2')
    .option('--workspace <id>', 'Workspace of the archives')
    .option('--store <url>', 'Where archives go (CLIPYARD_STORE)')
    .option('--buildkit <address>', 'unix:///path or tcp://host:port (CLIPYARD_BUILDKIT)')
    .option('--plain-http', 'Speak http to a registry that is not on this machine')
    .option('--plain', 'No pictures and no live view')
    .addHelpText('after', EPILOGUE)
    .action(async (flags: ServicesFlags, command: Command) => {
      const { json = false } = command.optsWithGlobals<GlobalOptions>();
      const { services: run } = await import('../actions/services.ts');
      await run(flags, json, context);
    });
  services
    .command('init')
    .description('Write clipyard.yaml from the folders that have a Dockerfile')
    .option('--directory <dir>', 'Where to look', '.')
    .option('--output <file>', 'What to write', 'clipyard.yaml')
    .option('--org <org>', 'Organization')
    .option('--repo <repo>', 'Repository')
    .option('--registry <host>', 'Registry')
    .addHelpText('after', '\nExample:\n  clipyard services init --org acme --repo shop\n')
    .action(async (_flags: InitFlags, command: Command) => {
      const flags = command.optsWithGlobals<GlobalOptions & InitFlags>();
      const { initServices } = await import('../actions/services.ts');
      await initServices(flags, flags.json ?? false, context);
    });
}
