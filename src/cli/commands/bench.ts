import type { Command } from 'commander';
import type {
  IndexBenchFlags,
  MountBenchFlags,
  PipelineBenchFlags,
  ReleaseBenchFlags,
  ScaleBenchFlags,
} from '../actions/bench.ts';
import { collect } from '../collect.ts';
import type { CommandContext, GlobalOptions } from '../context.ts';

const INDEX_EXAMPLES = `
Examples:
  # a generated image of 2 GB, by all contenders
  clipyard bench index --size 2GB --files 35000
  # an image of yours, two contenders, results into a folder
  clipyard bench index --image docker://127.0.0.1:5000/team/web:1 --contenders native,clip --output results
`;
const PIPELINE_EXAMPLES = `
Examples:
  clipyard bench pipeline --size 2GB --files 35000 --rounds 3
  # an image of yours, built again from its layers
  clipyard bench pipeline --image oci:images/web:1 --contenders clipyard,buildkit-gzip-clip
  # with the registry behind a link of 90 Mbit/s: the phase table, before and after
  clipyard bench pipeline --link 90mbit,20ms --rounds 1
`;
const MOUNT_EXAMPLES = `
Examples:
  clipyard bench mount --size 2GB --files 35000 --rounds 5
  # an image of yours behind a link, with the start of a program
  clipyard bench mount --image docker://127.0.0.1:5000/team/web:1 --link 100MB/s,20ms --exec 'python3 -c "import numpy"'
`;
const RELEASE_EXAMPLES = `
Examples:
  clipyard bench release --size 500MB --files 5000 --rounds 5
  clipyard bench release --link 90mbit,20ms --rounds 1
`;
const SCALE_EXAMPLES = `
Examples:
  clipyard bench scale --bytes 1GB,2GB,4GB,8GB --entries 10k,100k,1M
  clipyard bench scale --bytes 2GB --codecs zstd:1,zstd:3,gzip:1 --rounds 3
`;

/** The same work by ours and by others, side by side. */
export function addBenchCommands(program: Command, context: CommandContext): void {
  const bench = program
    .command('bench')
    .description('Measure ours and others side by side; JSON and a page with charts')
    .addHelpText('after', '\nExample:\n  clipyard bench index --size 2GB --files 35000\n');
  const asksJson = (command: Command) => command.optsWithGlobals<GlobalOptions>().json ?? false;

  withOutput(withImage(bench.command('index'), '2GB', '35000'), '5')
    .description('Index one image by every contender')
    .option('--image <source>', 'docker://REF or oci:DIR[:NAME] instead of a generated image')
    .option('--contenders <names>', 'some of native, native-cached, portable, legacy, clip, buildkit-gzip-clip')
    .option('--registry <host>', 'registry for the time of the benchmark (CLIPYARD_REGISTRY)')
    .option('--link <bandwidth,rtt>', 'shape the way to the registry: 90mbit,20ms')
    .addHelpText('after', INDEX_EXAMPLES)
    .action(async (flags: IndexBenchFlags, command: Command) => {
      const { runIndexBench } = await import('../actions/bench.ts');
      await runIndexBench(flags, asksJson(command), context);
    });

  withOutput(withImage(bench.command('pipeline'), '2GB', '35000'), '3')
    .description(
      'From the last build step to pushed, indexed, archived and published, by ours and by the flows before it',
    )
    .option('--image <source>', 'docker://REF or oci:DIR[:NAME] instead of a generated image')
    .option('--contenders <names>', 'some of clipyard, buildkit-gzip-clip, buildkit-gzip1-clip, buildkit-zstd')
    .option('--registry <host>', 'registry for the time of the benchmark (CLIPYARD_REGISTRY)')
    .option('--link <bandwidth,rtt>', 'shape the way to the registry: 90mbit,20ms')
    .option('--compression <codec>', 'of `clipyard build` (default: its own; with a link `auto`, where it is known)')
    .option('--level <n>', 'of `clipyard build`')
    .addHelpText('after', PIPELINE_EXAMPLES)
    .action(async (flags: PipelineBenchFlags, command: Command) => {
      const { runPipelineBench } = await import('../actions/bench.ts');
      await runPipelineBench(flags, asksJson(command), context);
    });

  withOutput(withImage(bench.command('mount'), '2GB', '35000'), '3')
    .description('Mount one image by every contender; walk and read it cold and warm')
    .option('--image <source>', 'docker://REF or oci:DIR[:NAME] instead of a generated image')
    .option('--entries <n>', 'opening an image of so many entries, and a walk through it')
    .option('--far-file <bytes>', 'the 5 MiB at the end of one layer of so many bytes')
    .option(
      '--operations <names>',
      'some of walk, stat, read-all, sequential, random, far-file; or "" for starts alone',
    )
    .option('--contenders <names>', 'some of erofs, erofs-profile, fuse, fuse-profile, clip, overlayfs')
    .option('--registry <host>', 'registry for the time of the benchmark (CLIPYARD_REGISTRY)')
    .option('--link <bandwidth,rtt>', 'shape the way to the registry: 90mbit,20ms')
    .option(
      '--exec <command>',
      "a shell's command line to start in the mounted tree (chroot; needs root); again for more",
      collect,
      [],
    )
    .addHelpText('after', MOUNT_EXAMPLES)
    .action(async (flags: MountBenchFlags, command: Command) => {
      const { runMountBench } = await import('../actions/bench.ts');
      await runMountBench(flags, asksJson(command), context);
    });

  withOutput(withImage(bench.command('release'), '500MB', '5000'), '3')
    .description('Release an image of two platforms by re-tag and by build; the time of ten releases of one commit')
    .option('--registry <host>', 'registry for the time of the benchmark (CLIPYARD_REGISTRY)')
    .option('--link <bandwidth,rtt>', 'shape the way to the registry: 90mbit,20ms')
    .addHelpText('after', RELEASE_EXAMPLES)
    .action(async (flags: ReleaseBenchFlags, command: Command) => {
      const { runReleaseBench } = await import('../actions/bench.ts');
      await runReleaseBench(flags, asksJson(command), context);
    });

  withOutput(bench.command('scale'), '3')
    .description('Pack and assemble alone, over growing images: time and memory against bytes and entries')
    .option('--bytes <sizes>', 'sizes of images of 10 000 files', '256MB,512MB,1GB')
    .option('--entries <counts>', 'numbers of files of 512 bytes', '10k,50k,100k')
    .option('--codecs <list>', 'codec:level, …', 'zstd:1')
    .addHelpText('after', SCALE_EXAMPLES)
    .action(async (flags: ScaleBenchFlags, command: Command) => {
      const { runScaleBench } = await import('../actions/bench.ts');
      await runScaleBench(flags, asksJson(command), context);
    });
}

function withImage(command: Command, size: string, files: string): Command {
  return command
    .option('--size <bytes>', 'bytes of all files of the generated image', size)
    .option('--files <n>', 'files of the generated image', files)
    .option('--layers <n>', 'layers of the generated image', '4')
    .option('--seed <n>', 'the same seed gives the same image', '1');
}

function withOutput(command: Command, rounds: string): Command {
  return command
    .option('--rounds <n>', 'measured runs of each contender', rounds)
    .option('--output <dir>', 'where bench-<name>.json and .html go', '.');
}
