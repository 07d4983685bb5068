import type { Writable } from 'node:stream';
import { Command, CommanderError, Help, Option } from 'commander';
import { loadSettings } from '../config/index.ts';
import { toWorkerError, WorkerError } from '../errors/index.ts';
import { nativeToolPaths } from '../native/index.ts';
import { createLog } from '../telemetry/index.ts';
import { addArchiveCommands } from './commands/archive.ts';
import { addBenchCommands } from './commands/bench.ts';
import { addBuildCommand } from './commands/build.ts';
import { addCacheCommands } from './commands/cache.ts';
import { addClientCommands } from './commands/client.ts';
import { addConfigCommands } from './commands/config.ts';
import { addDoctorCommand } from './commands/doctor.ts';
import { addExplainCommand } from './commands/explain.ts';
import { addIndexCommand } from './commands/index-image.ts';
import { addMatrixCommands } from './commands/matrix.ts';
import { addMountCommands } from './commands/mount.ts';
import { addRegistryCommands } from './commands/registry.ts';
import { addReleaseCommand } from './commands/release.ts';
import { addRetentionCommand } from './commands/retention.ts';
import { addRunCommand } from './commands/run.ts';
import { addScanCommand } from './commands/scan.ts';
import { addServicesCommand } from './commands/services.ts';
import { addTagsCommand } from './commands/tags.ts';
import { addWorkerCommand } from './commands/worker.ts';
import type { CommandContext } from './context.ts';
import { errorDocument, exitCodeOf, renderError } from './exit.ts';

export { formatBytes, formatSeconds, formatTable } from './output.ts';

export interface ProcessContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly root: string;
  readonly signal: AbortSignal;
  readonly stdout: Writable;
  readonly stderr: Writable & { readonly isTTY?: boolean };
}

const EPILOGUE = `
Settings come from CLIPYARD_* variables (docs/configuration.md); \`scripts/services.sh env\` prints those of the local services.
Exit codes: 0 done, 64 wrong input, 65 damaged data, 66 not found, 70 internal, 73 conflict, 75 try again later, 77 not allowed, 130 stopped.
`;

/** Runs one command and gives the exit code. Errors go to stderr: for people, or as one JSON document with `--json`. */
export async function runCommandLine(argv: readonly string[], processContext: ProcessContext): Promise<number> {
  const { env, root, signal, stderr, stdout } = processContext;
  const json = asksForJson(argv);
  try {
    const settings = loadSettings(env);
    const context: CommandContext = {
      settings,
      env,
      root,
      signal,
      stdout,
      stderr,
      log: createLog({ level: settings.logLevel, terminal: stderr.isTTY === true && !json ? stderr : undefined }),
      tools: nativeToolPaths(env, root),
    };
    await createProgram(context, json).parseAsync([...argv]);
    return typeof process.exitCode === 'number' ? process.exitCode : 0;
  } catch (thrown) {
    if (thrown instanceof CommanderError) {
      if (thrown.exitCode === 0) return 0;
      const message = thrown.code === 'commander.help' ? 'no command is named' : thrown.message.replace(/^error: /, '');
      if (json) stderr.write(errorDocument(new WorkerError('USAGE', message)));
      return 64;
    }
    const error =
      signal.aborted && !(thrown instanceof WorkerError)
        ? new WorkerError('CANCELED', 'stopped', {}, { cause: thrown })
        : toWorkerError(thrown, 'clipyard');
    stderr.write(json ? errorDocument(error) : renderError(error));
    if (error.category === 'internal' && env['CLIPYARD_LOG'] === 'debug') stderr.write(`${String(error.stack)}\n`);
    return exitCodeOf(error);
  }
}

/** A result that could not be written, and what to end with: it is no success. */
export function outputFailure(thrown: unknown, argv: readonly string[]): { text: string; exitCode: number } {
  const error = toWorkerError(thrown, 'write the result');
  return { text: asksForJson(argv) ? errorDocument(error) : renderError(error), exitCode: exitCodeOf(error) };
}

/** Behind `--` everything belongs to the command that `run` starts. */
function asksForJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return (end === -1 ? argv : argv.slice(0, end)).includes('--json');
}

/** Help as commander writes it, without the empty list that an option given many times begins with. */
function describeOption(option: Option): string {
  const isList = Array.isArray(option.defaultValue);
  return new Help().optionDescription(isList ? new Option(option.flags, option.description) : option);
}

/** All commands with their options; what they do is loaded when one is run. */
export function createProgram(context: CommandContext, json: boolean): Command {
  const program = new Command('clipyard')
    .description('Builds images with BuildKit, pushes every blob once, and publishes archives that mount at once')
    .option('--json', 'print the result as one JSON document on stdout, events and errors as JSON lines on stderr')
    .version('0.1.0')
    // Options belong to the command they stand behind: `release` and `release plan` have some of the same name, and
    // `services --version 1.2.0` is not the program's --version.
    .enablePositionalOptions()
    .showHelpAfterError('(see --help)')
    .addHelpText('after', EPILOGUE)
    .configureOutput({
      writeOut: (text) => context.stdout.write(text),
      // With --json a wrong command line is a document like every other error: runCommandLine writes it.
      writeErr: (text) => json || context.stderr.write(text),
    })
    .configureHelp({ optionDescription: describeOption })
    .exitOverride();
  addBuildCommand(program, context);
  addIndexCommand(program, context);
  addArchiveCommands(program, context);
  addMountCommands(program, context);
  addRunCommand(program, context);
  addExplainCommand(program, context);
  addTagsCommand(program, context);
  addReleaseCommand(program, context);
  addMatrixCommands(program, context);
  addScanCommand(program, context);
  addServicesCommand(program, context);
  addRegistryCommands(program, context);
  addRetentionCommand(program, context);
  addCacheCommands(program, context);
  addBenchCommands(program, context);
  addWorkerCommand(program, context);
  addClientCommands(program, context);
  addConfigCommands(program, context);
  addDoctorCommand(program, context);
  for (const command of program.commands) takeJson(command);
  return program;
}

/** Every command, however deep, takes --json in front of or behind its name. */
function takeJson(command: Command): void {
  command.option('--json', 'print the result as one JSON document').exitOverride();
  for (const each of command.commands) takeJson(each);
}
