import { type Command, Option } from 'commander';
import type { BuildFlags } from '../actions/build.ts';
import type { CommandContext, GlobalOptions } from '../context.ts';
import { withPipelineOptions, withSourceOptions } from './build-options.ts';

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
  const command = program
    .command('build')
    .description('Build an image with BuildKit, push its blobs once, publish image and lazy archive');
  withPipelineOptions(withSourceOptions(command))
    .option('--workspace <id>', 'workspace of the image')
    .option('--image-id <id>', "id of the image in the workspace (default: from the context's name)")
    .option('--registry <host/repository>', 'where blobs and manifests go (CLIPYARD_REGISTRY)')
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
    .addHelpText('after', EXAMPLES)
    .action(async (flags: BuildFlags, command: Command) => {
      const { json = false } = command.optsWithGlobals<GlobalOptions>();
      const { build } = await import('../actions/build.ts');
      await build(flags, json, context);
    });
}
