import { type Command, Option } from 'commander';
import type { MatrixFlags, MatrixRunFlags } from '../actions/matrix.ts';
import { collect } from '../collect.ts';
import type { CommandContext, GlobalOptions } from '../context.ts';
import { withRetentionOption } from './build-options.ts';
import { withScanOptions } from './scan.ts';

const EXAMPLES = `
Examples:
  # in a GitHub Actions job: a version tag releases, the default branch gets its development tags, a pull request stays local
  clipyard matrix --config matrix.yaml
  # what would be written, and why
  clipyard matrix --config matrix.yaml --context event.json --dry-run
  # with syft's packages and SBOMs and trivy's findings, none graver than medium
  clipyard matrix --config matrix.yaml --syft always --trivy always --fail-on high --sarif findings.sarif
  # the tags alone, for other steps of a job
  clipyard matrix tags --config matrix.yaml --output github
  # whether every tag of a release is what it says
  clipyard matrix verify --config matrix.yaml --context event.json
`;

const jsonOf = (command: Command) => command.optsWithGlobals<GlobalOptions>().json ?? false;

/** `matrix`, `matrix tags`, `matrix verify`. */
export function addMatrixCommands(program: Command, context: CommandContext): void {
  const matrix = program
    .command('matrix')
    .description('Build one image in several variants for several platforms, and write all their tags (docs/matrix.md)')
    .addHelpText('after', EXAMPLES);
  addRun(matrix, context);
  asked(matrix.command('tags'))
    .description('Calculate all tags of all variants; asks no network')
    .addHelpText('after', '\nExamples:\n  clipyard matrix tags --config matrix.yaml --context event.json\n')
    .action(async (flags: MatrixFlags, command: Command) => {
      const { matrixTags } = await import('../actions/matrix.ts');
      await matrixTags(flags, jsonOf(command), context);
    });
  asked(matrix.command('verify'))
    .description('Look whether every tag names the image that its text says, for all platforms')
    .option('--plain-http', 'speak http to a registry that is not on this machine')
    .addHelpText('after', '\nExamples:\n  clipyard matrix verify --config matrix.yaml --context event.json\n')
    .action(async (flags: MatrixFlags, command: Command) => {
      const { matrixVerify } = await import('../actions/matrix.ts');
      await matrixVerify(flags, jsonOf(command), context);
    });
}

function addRun(matrix: Command, context: CommandContext): void {
  withRetentionOption(withScanOptions(asked(matrix.command('run', { isDefault: true }))))
    .description('Build all variants, then write all tags, then look whether they are right')
    .option('--dry-run', 'only read the registry, and say what would be written')
    .option('--explain', 'say why each tag was written or left')
    .option('--scan', 'look at the Dockerfile and at the images that stand for all; attach their SBOMs')
    .option('--budget <size>', 'warn when the images take more in the registry: 500MB')
    .option('--workspace <id>', 'workspace of the images')
    .option('--plain-http', 'speak http to a registry that is not on this machine')
    .option('--store <url>', 'where the archives go: s3://bucket/prefix or file:///dir (CLIPYARD_STORE)')
    .option('--layout <dir>', 'where a pull request leaves its images, as an OCI layout')
    .option('--compression <codec>', 'of new layers: zstd, gzip, none, auto', 'zstd')
    .option('--level <n>', 'compression level')
    .option('--chunk <size>', 'plain bytes of a chunk')
    .option('--buildkit <address>', 'buildkitd: unix:///path or tcp://host:port (CLIPYARD_BUILDKIT)')
    .option('--no-cache', "do not use BuildKit's cache")
    .option('--cache-from <spec>', 'import a BuildKit cache: type=registry,ref=… or type=local,src=DIR', collect, [])
    .option('--cache-to <spec>', 'export a BuildKit cache', collect, [])
    .option('--secret <id=…,src=…>', 'secret for RUN --mount=type=secret', collect, [])
    .option('--ssh <id[=socket]>', 'SSH agent for RUN --mount=type=ssh', collect, [])
    .option('--ca-bundle <file>', "secret `ca-bundle`, and this machine's settings as secrets")
    .addOption(new Option('--progress <mode>', 'auto, plain, tty').default('auto'))
    .addHelpText('after', EXAMPLES)
    .action(async (flags: MatrixRunFlags, command: Command) => {
      const { matrixRun } = await import('../actions/matrix.ts');
      await matrixRun(flags, jsonOf(command), context);
    });
}

/** What every one of them must know. */
function asked(command: Command): Command {
  return command
    .requiredOption('--config <file>', 'YAML or JSON: image, variants, platforms (docs/matrix.md)')
    .option('--context <file>', 'JSON of the event, - for standard input (default: the GitHub environment)')
    .option('--now <time>', 'ISO 8601: the clock, where the context names none')
    .option('--registry <host/path>', 'in place of the one in the configuration')
    .addOption(new Option('--output <where>', 'github: also write to GITHUB_OUTPUT').choices(['github']));
}
