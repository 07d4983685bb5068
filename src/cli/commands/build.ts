import { type Command, Option } from 'commander';
import type { BuildFlags } from '../actions/build.ts';
import { collect } from '../collect.ts';
import type { CommandContext, GlobalOptions } from '../context.ts';

const EXAMPLES = `
Examples:
  # with the local services of scripts/services.sh
  clipyard build --context . --workspace team --image-id web
  # everything named, result as JSON, and a complete OCI layout of what was pushed
  clipyard --json build --context app --file app/Dockerfile --build-arg VERSION=1.2 \\
    --workspace team --image-id web --registry registry.example:5000/images --store s3://archives/prod --layout out
  # a machine behind a private CA: the Dockerfile mounts the secret where a step needs it
  #   RUN --mount=type=secret,id=ca-bundle PIP_CERT=/run/secrets/ca-bundle pip install numpy
  clipyard build --context . --ca-bundle /etc/ssl/certs/ca-certificates.crt
`;

export function addBuildCommand(program: Command, context: CommandContext): void {
  program
    .command('build')
    .description('Build an image with BuildKit, push its blobs once, publish image and lazy archive')
    .option('--context <dir>', 'build context', '.')
    .option('--file <path>', 'Dockerfile (default: Dockerfile in the context)')
    .option('--target <stage>', 'stage to build')
    .option('--build-arg <name=value>', 'build argument; a bare name takes its value from the environment', collect, [])
    .option('--label <name=value>', 'label of the image', collect, [])
    .option(
      '--secret <id=…,src=…>',
      'secret for RUN --mount=type=secret: id=NAME,src=FILE or id=NAME,env=VARIABLE',
      collect,
      [],
    )
    .option('--ssh <id[=socket]>', 'SSH agent for RUN --mount=type=ssh', collect, [])
    .option(
      '--ca-bundle <file>',
      "secret `ca-bundle`, and with it this machine's settings as secrets `pip-conf` and `apt-conf`",
    )
    .option('--platform <list>', 'platforms, e.g. linux/amd64,linux/arm64')
    .option('--build-context <name=value>', 'named context: a folder, docker-image://REF, or a URL', collect, [])
    .option(
      '--attest <what>',
      'put attestations into the index: provenance[,mode=min|max], sbom[,generator=IMAGE]',
      collect,
      [],
    )
    .option('--add-host <host:ip>', 'entry for /etc/hosts of the steps', collect, [])
    .option('--network <mode>', 'network of the steps: default, none, host')
    .option('--no-cache', "do not use BuildKit's cache")
    .option('--cache-from <spec>', 'import a BuildKit cache: type=registry,ref=… or type=local,src=DIR', collect, [])
    .option(
      '--cache-to <spec>',
      'export a BuildKit cache: type=registry,ref=…,mode=max or type=local,dest=DIR,mode=max',
      collect,
      [],
    )
    .option('--workspace <id>', 'workspace of the image')
    .option('--image-id <id>', "id of the image in the workspace (default: from the context's name)")
    .option('--registry <host/repository>', 'where blobs and manifests go (CLIPYARD_REGISTRY)')
    .option('--plain-http', 'speak http to a registry that is not on this machine')
    .option('--store <url>', 'where the archive goes: s3://bucket/prefix or file:///dir (CLIPYARD_STORE)')
    .option('--layout <dir>', 'also write a complete OCI layout of what is pushed')
    .option('--also-as <name>', 'a second name for the archive in the store, e.g. web.rclip')
    .addOption(
      new Option('--archive-format <format>', 'clipyard: an index, v1: a CLIP archive with the files inside')
        .choices(['clipyard', 'v1'])
        .default('clipyard'),
    )
    .addOption(
      new Option('--index-from <where>', 'registry: after the push, from the registry; a baseline to measure against')
        .choices(['layout', 'registry'])
        .default('layout'),
    )
    .option(
      '--compression <codec>',
      'of new layers: zstd, gzip, none, auto (zstd as strong as the push leaves time for)',
      'zstd',
    )
    .option('--level <n>', 'compression level (zstd 1-19, gzip 1-9)')
    .option('--chunk <size>', 'plain bytes of a frame, a power of two', '256KiB')
    .option('--no-pack-cache', 'pack every layer again')
    .option('--pack-cache-store <url>', 'share packs of layers through an object store (CLIPYARD_PACK_CACHE)')
    .option(
      '--limit <name=value>',
      'what a layer may cost, e.g. entries=1000 (docs/configuration.md, CLIPYARD_LIMIT_…)',
      collect,
      [],
    )
    .option('--buildkit <address>', 'unix:///path or tcp://host:port (CLIPYARD_BUILDKIT)')
    .option('--progress <mode>', 'auto, plain, tty', 'auto')
    .addHelpText('after', EXAMPLES)
    .action(async (flags: BuildFlags, command: Command) => {
      const { json = false } = command.optsWithGlobals<GlobalOptions>();
      const { build } = await import('../actions/build.ts');
      await build(flags, json, context);
    });
}
