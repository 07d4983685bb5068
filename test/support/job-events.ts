import type { BuildEvent } from '../../src/buildkit/index.ts';
import type { BuildResult } from '../../src/jobs/index.ts';
import { runCommand } from './command-line.ts';

export interface ObservedBuild {
  readonly result: BuildResult;
  /** How each blob came over, by digest. */
  readonly landed: ReadonlyMap<string, string | undefined>;
  /** Lines of the log. */
  readonly warnings: readonly string[];
}

/** Runs `build --json` and keeps what it told meanwhile. */
export async function observeBuild(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<ObservedBuild> {
  const { exitCode, stderr, stdout } = await runCommand(['--json', 'build', ...args], env);
  if (exitCode !== 0) throw new Error(`the build ended with ${String(exitCode)}:\n${stderr.slice(-4000)}`);
  const lines = stderr
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map(
      (line) => JSON.parse(line) as { readonly buildkit?: BuildEvent; readonly level?: string; readonly msg?: string },
    );
  const landed = lines.flatMap(({ buildkit }): [string, string | undefined][] =>
    buildkit?.type === 'blob' && buildkit.state === 'landed' ? [[buildkit.digest, buildkit.via]] : [],
  );
  const warnings = lines.flatMap(({ level, msg }) => (level === 'warn' && msg !== undefined ? [msg] : []));
  return { result: JSON.parse(stdout) as BuildResult, landed: new Map(landed), warnings };
}
