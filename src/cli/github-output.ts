import { randomUUID } from 'node:crypto';
import { appendFile } from 'node:fs/promises';
import { toWorkerError, WorkerError } from '../errors/index.ts';
import type { CommandContext } from './context.ts';

/** Outputs of a job: values may have lines, between marks that nobody can guess. Throws USAGE outside of a job. */
export async function writeGithubOutput(
  outputs: Readonly<Record<string, string>>,
  env: CommandContext['env'],
): Promise<void> {
  const path = env['GITHUB_OUTPUT'];
  if (path === undefined)
    throw new WorkerError('USAGE', '--output github: GITHUB_OUTPUT is not set; this is no GitHub Actions job');
  const mark = `clipyard-${randomUUID()}`;
  const text = Object.entries(outputs).map(([name, value]) => `${name}<<${mark}\n${value}\n${mark}\n`);
  try {
    await appendFile(path, text.join(''));
  } catch (thrown) {
    throw toWorkerError(thrown, `write the outputs to GITHUB_OUTPUT, ${path}`);
  }
}
