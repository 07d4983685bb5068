import { type Command, Option } from 'commander';
import type { ApplyFlags, ReleaseFlags, ReleasePlanFlags, UndoFlags } from '../actions/release.ts';
import type { CommandContext, GlobalOptions } from '../context.ts';
import { PACKAGES_API_HELP, withPipelineOptions, withRetentionOption, withSourceOptions } from './build-options.ts';

const EXAMPLES = `
Examples:
  # the commit's image is there: v1.0.0 and latest become further names of it; else it is built from the context
  clipyard release hello_python v1.0.0 --commit "$GITHUB_SHA" --domain demo --owner owner --registry ghcr.io
  # and then all but the five newest releases go
  clipyard release hello_python v1.0.0 --commit "$GITHUB_SHA" --retention keep=5
  # what would be written, into a file; carried out later, or refused when the tags have changed since; taken back
  clipyard release plan hello_python v1.0.0 --commit abc123def --output v1.0.0.json
  clipyard release apply v1.0.0.json
  clipyard release undo v1.0.0.json
`;
const PLATFORMS = 'linux/amd64,linux/arm64';

export function addReleaseCommand(program: Command, context: CommandContext): void {
  const asksJson = (command: Command) => command.optsWithGlobals<GlobalOptions>().json ?? false;
  const release = program
    .command('release')
    .description('Release an app: re-tag the image of its commit, or build it (docs/release.md)')
    .argument('<app>')
    .argument('<version>', 'its tag, as it stands')
    .enablePositionalOptions();
  withBuild(withName(release))
    .option('--dry-run', 'say what would be written, and write nothing')
    .addHelpText('after', EXAMPLES)
    .action(async (app: string, version: string, flags: ReleaseFlags, command: Command) => {
      const actions = await import('../actions/release.ts');
      await actions.releaseApp(app, version, flags, asksJson(command), context);
    });

  withName(release.command('plan').argument('<app>').argument('<version>'))
    .description('Write what a release would do into a file: each tag, what it is now and will be, and why')
    .option('--output <file>', 'the plan (default: APP-VERSION.plan.json)')
    .option('--plain-http', 'speak http to a registry that is not on this machine')
    .option('--store <url>', 'where the ledger of releases is (CLIPYARD_STORE)')
    .addHelpText(
      'after',
      '\nExample:\n  clipyard release plan web v1.0.0 --commit abc123def --domain shop --owner team\n',
    )
    .action(async (app: string, version: string, flags: ReleasePlanFlags, command: Command) => {
      const actions = await import('../actions/release.ts');
      await actions.planReleaseFile(app, version, flags, asksJson(command), context);
    });

  withBuild(release.command('apply').argument('<plan>', 'file of `release plan`'))
    .description('Carry out a plan as it stands; refuse when a tag changed since')
    .addHelpText('after', '\nExample:\n  clipyard release apply web-v1.0.0.plan.json\n')
    .action(async (plan: string, flags: ApplyFlags, command: Command) => {
      const actions = await import('../actions/release.ts');
      await actions.applyReleasePlan(plan, flags, asksJson(command), context);
    });

  release
    .command('undo')
    .argument('<file>', 'a plan that was applied, or what `release --json` printed')
    .description('Put latest back to what it was; versions stay')
    .option('--dry-run', 'say what would be written, and write nothing')
    .option('--plain-http', 'speak http to a registry that is not on this machine')
    .option('--store <url>', 'where the ledger of releases is (CLIPYARD_STORE)')
    .option('--packages-api <url>', PACKAGES_API_HELP)
    .addHelpText('after', '\nExample:\n  clipyard release undo web-v1.0.0.plan.json\n')
    .action(async (file: string, flags: UndoFlags, command: Command) => {
      const actions = await import('../actions/release.ts');
      await actions.undoReleaseFile(file, flags, asksJson(command), context);
    });
}

function withName(command: Command): Command {
  return command
    .option('--commit <sha>', 'commit whose image is released; without it the image is always built')
    .option('--domain <name>', 'the image is REGISTRY/OWNER/DOMAIN-APP (CLIPYARD_RELEASE_DOMAIN)')
    .option('--owner <name>', 'account or organisation (CLIPYARD_RELEASE_OWNER)')
    .option('--registry <host>', 'registry (the host of CLIPYARD_REGISTRY)')
    .addOption(
      new Option('--latest <when>', 'auto: latest moves unless a higher version is released')
        .choices(['auto', 'always', 'never'])
        .default('auto'),
    );
}

function withBuild(command: Command): Command {
  const build = withPipelineOptions(withSourceOptions(command)).option(
    '--workspace <id>',
    'workspace of the built image (CLIPYARD_WORKSPACE)',
  );
  withRetentionOption(build);
  build.setOptionValueWithSource('platform', PLATFORMS, 'default');
  return build;
}
