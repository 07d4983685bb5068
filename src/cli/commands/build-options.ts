import type { Command } from 'commander';
import { collect } from '../collect.ts';

/** What BuildKit is asked for. */
export function withSourceOptions(command: Command): Command {
  return command
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
    );
}

/** How an image is packed, pushed and published, whatever it is called. */
export function withPipelineOptions(command: Command): Command {
  return command
    .option('--plain-http', 'speak http to a registry that is not on this machine')
    .option('--store <url>', 'where the archive goes: s3://bucket/prefix or file:///dir (CLIPYARD_STORE)')
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
    .option('--progress <mode>', 'auto, plain, tty', 'auto');
}

export const PACKAGES_API_HELP =
  "GitHub's packages API, which deletes what its registry does not; for ghcr.io of itself (CLIPYARD_PACKAGES_API)";

/** Of the commands that release. */
export function withRetentionOption(command: Command): Command {
  return command
    .option(
      '--retention <policy>',
      'what old releases go behind a success: keep=5,order=version, a YAML file, none (CLIPYARD_RETENTION)',
    )
    .option('--packages-api <url>', PACKAGES_API_HELP);
}
