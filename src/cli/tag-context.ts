import { readFile } from 'node:fs/promises';
import { text as readText } from 'node:stream/consumers';
import { toWorkerError, WorkerError } from '../errors/index.ts';
import { githubTagContext, parseTagContext, type TagContext } from '../release/index.ts';
import type { CommandContext } from './context.ts';

export interface TagContextFlags {
  readonly context?: string;
  readonly now?: string;
}

/** What `--context FILE|-` says, else what the environment of a GitHub Actions job does. Throws USAGE, TAG_CONTEXT_INVALID. */
export async function tagContextOf(flags: TagContextFlags, { env }: CommandContext): Promise<TagContext> {
  const now = flags.now === undefined ? new Date() : new Date(flags.now);
  if (Number.isNaN(now.getTime())) throw new WorkerError('USAGE', `--now ${flags.now ?? ''} is no time of ISO 8601`);
  if (flags.context === '-') return parseTagContext(await readText(process.stdin), now);
  if (flags.context !== undefined) return parseTagContext(await readNamedFile(flags.context, 'the context'), now);
  const payload = env['GITHUB_EVENT_PATH'];
  return githubTagContext(env, payload === undefined ? undefined : await readNamedFile(payload, 'the context'), now);
}

/** Throws PATH_NOT_FOUND, NOT_A_REGULAR_FILE, PATH_DENIED. */
export async function readNamedFile(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    throw toWorkerError(thrown, `read ${what} ${path}`);
  }
}
