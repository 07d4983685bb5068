import { type Command, Option } from 'commander';
import type { BuildsFlags, WatchFlags } from '../actions/builds.ts';
import type { SubmitCommandFlags } from '../actions/submit.ts';
import { collect } from '../collect.ts';
import type { CommandContext, GlobalOptions } from '../context.ts';

const SUBMIT_EXAMPLES = `
Examples:
  # this folder, at the worker of this machine; prints the build's id
  clipyard submit --context . --image-id web
  # at a fleet, watched to its end; CLIPYARD_TOKEN names the workspace
  clipyard submit --server https://builds.example:7480 --context app --build-arg VERSION=1.2 --image-id web --wait
  # nothing of this machine: a git repository, or a Dockerfile alone
  clipyard submit --git https://git.example/team/app.git#main:docker --image-id web
  echo 'FROM scratch' | clipyard submit --file - --image-id empty

The exit code with --wait is that of the build's failure. Stopping this command does not stop the build: clipyard cancel does.
`;
const WATCH_EXAMPLES = `
Examples:
  clipyard watch 01JD2Z
  # every event as a JSON line on stderr, from the tenth on
  clipyard --json watch 01JD2Z --after 10

A connection that breaks is made again, and no event is missed or shown twice.
`;
const CANCEL_EXAMPLES = `
Examples:
  clipyard cancel 01JD2Z --reason 'wrong branch'
`;
const BUILDS_EXAMPLES = `
Examples:
  clipyard builds --state queued --state building
  clipyard --json builds --image-id web --limit 1
`;
const DRAIN_EXAMPLES = `
Examples:
  # before an upgrade: waits until the worker is empty
  clipyard drain --server 10.0.0.7:7480 --budget 10m
`;

/** Commands that call a worker. */
export function addClientCommands(program: Command, context: CommandContext): void {
  addSubmitCommand(program, context);
  withServer(program.command('watch <id>'))
    .description('Show the events of a build until it ends')
    .option('--after <cursor>', 'only what comes behind this event', '0')
    .option('--skip-logs', 'leave out what steps write')
    .option('--progress <mode>', 'auto, plain, tty', 'auto')
    .addHelpText('after', WATCH_EXAMPLES)
    .action(async (id: string, flags: WatchFlags, command: Command) => {
      const { watch } = await import('../actions/builds.ts');
      await watch(id, flags, isJson(command), context);
    });
  withServer(program.command('cancel <id>'))
    .description('End a build; what it shares with others goes on for them')
    .option('--reason <text>', 'why, for the record', '')
    .addHelpText('after', CANCEL_EXAMPLES)
    .action(async (id: string, flags: { readonly reason: string }, command: Command) => {
      const { cancel } = await import('../actions/builds.ts');
      await cancel(id, flags, isJson(command), context);
    });
  withServer(program.command('builds'))
    .description('List builds, newest first')
    .option('--state <state>', 'only builds in this state; may be given more than once', collect, [])
    .option('--image-id <id>', 'only builds of this image')
    .option('--limit <n>', 'how many', '20')
    .option('--page <token>', 'go on where the last list ended')
    .addHelpText('after', BUILDS_EXAMPLES)
    .action(async (flags: BuildsFlags, command: Command) => {
      const { builds } = await import('../actions/builds.ts');
      await builds(flags, isJson(command), context);
    });
  withServer(program.command('drain'))
    .description('Let a worker finish what it has and take nothing more')
    .option('--budget <time>', "how long builds may go on, e.g. 10m (default: the worker's own)")
    .addHelpText('after', DRAIN_EXAMPLES)
    .action(async (flags: { readonly budget?: string }, command: Command) => {
      const { drain } = await import('../actions/builds.ts');
      await drain(flags, isJson(command), context);
    });
}

function addSubmitCommand(program: Command, context: CommandContext): void {
  withServer(program.command('submit'))
    .description('Queue a build at a worker')
    .option('--context <dir>', 'build context, sent without what .dockerignore names', '.')
    .option('--git <url[#ref[:dir]]>', 'build what a git repository holds')
    .option('--object-key <key>', "build a tar that is in the worker's store")
    .option('--dockerfile-inline <text>', 'build this Dockerfile, without a context')
    .option('--file <path>', 'Dockerfile in the context (default: Dockerfile); - reads one from standard input')
    .option('--target <stage>', 'stage to build')
    .option('--build-arg <name=value>', 'build argument; a bare name takes its value from the environment', collect, [])
    .option('--label <name=value>', 'label of the image', collect, [])
    .option('--secret <id=…,src=…>', 'secret: id=NAME,src=FILE or id=NAME,env=VARIABLE, and version=V', collect, [])
    .option('--ssh <id>', "SSH agent of the worker's for RUN --mount=type=ssh", collect, [])
    .option('--ca-bundle <file>', "secret `ca-bundle`, and this machine's settings as `pip-conf` and `apt-conf`")
    .option('--platform <list>', 'platforms, e.g. linux/amd64,linux/arm64')
    .option('--build-context <name=value>', 'named context: a folder, docker-image://REF, or a URL', collect, [])
    .option('--attest <what>', 'provenance[,mode=min|max], sbom[,generator=IMAGE]', collect, [])
    .option('--network <mode>', 'network of the steps: default, none, host')
    .option('--no-cache', "do not use BuildKit's cache")
    .option('--cache-from <spec>', 'import a BuildKit cache: type=registry,ref=…', collect, [])
    .option('--cache-to <spec>', 'export a BuildKit cache: type=registry,ref=…,mode=max', collect, [])
    .option('--image-id <id>', "id of the image in the workspace (default: from the context's name)")
    .option('--registry <host/repository>', "where the image goes (default: the worker's)")
    .option('--also-as <name>', 'a second name for the archive in the store')
    .addOption(
      new Option('--archive-format <format>', 'clipyard: an index, v1: a CLIP archive with the files inside')
        .choices(['clipyard', 'v1'])
        .default('clipyard'),
    )
    .option('--compression <codec>', 'of new layers: zstd, gzip, none, auto', 'zstd')
    .option('--level <n>', 'compression level (zstd 1-19, gzip 1-9)')
    .option('--chunk <size>', 'plain bytes of a frame, a power of two')
    .option('--no-hermetic', 'the build reads what no digest names: it is shared only within --max-age')
    .option('--idempotency-key <key>', 'the same key again gives the same build')
    .option('--priority <n>', '0 to 9, higher first within the workspace (default: 5)')
    .option('--max-age <time>', 'a published build is no answer when it is older, e.g. 1h; 0s: always build')
    .option('--timeout <time>', "the build fails after this, e.g. 30m (default: the worker's limit)")
    .option('--wait', 'show progress until the build ends, and end as it does')
    .option('--progress <mode>', 'with --wait: auto, plain, tty', 'auto')
    .addHelpText('after', SUBMIT_EXAMPLES)
    .action(async (flags: SubmitCommandFlags, command: Command) => {
      const { submit } = await import('../actions/submit.ts');
      await submit(flags, isJson(command), context);
    });
}

function withServer(command: Command): Command {
  return command
    .option('--server <address>', 'host:port, https://host:port or unix:///path of a worker (CLIPYARD_SERVER)')
    .option('--workspace <id>', 'workspace, where no token names it')
    .option('--ca-file <file>', "PEM file of the authority of the worker's certificate (CLIPYARD_CA_FILE)");
}

function isJson(command: Command): boolean {
  return command.optsWithGlobals<GlobalOptions>().json === true;
}
