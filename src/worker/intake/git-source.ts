import { lutimes, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkerError } from '../../errors/index.ts';
import { makeDirectory } from '../../files/index.ts';
import type { ContextSpec } from '../build-spec.ts';
import type { WorkerPolicy } from '../policy/worker-policy.ts';
import type { TreeSize } from './context-tree.ts';
import { gitAddress, gitRef, isCommit } from './git-address.ts';
import { type GitOptions, runGit } from './git-process.ts';
import type { IntakeLimits } from './intake-limits.ts';

export type GitSpec = Extract<ContextSpec, { type: 'git' }>;

/** How often a fetch is looked at. */
const LOOK_MS = 500;

export interface GitContext extends Omit<GitOptions, 'protocols' | 'timeoutMs'> {
  readonly policy: WorkerPolicy;
  readonly limits: IntakeLimits;
}

/** The commit that a source names now. Throws GIT_FAILED, SOURCE_DENIED. */
export async function resolveCommit(source: GitSpec, context: GitContext): Promise<string> {
  const url = gitAddress(source.url, context.policy);
  const ref = source.ref === undefined || source.ref === '' ? 'HEAD' : gitRef(source.ref);
  if (isCommit(ref)) return ref;
  // In the order of git-rev-parse; a tag that is an object of its own is asked for what it points to.
  const names =
    ref === 'HEAD' || ref.startsWith('refs/')
      ? [`${ref}^{}`, ref]
      : [`refs/tags/${ref}^{}`, `refs/tags/${ref}`, `refs/heads/${ref}`];
  const output = await runGit(['ls-remote', '--quiet', '--', url.href, ...names], gitOptions(context));
  const found = new Map(
    output
      .toString()
      .split('\n')
      .filter((line) => line.includes('\t'))
      .map((line) => {
        const [commit = '', name = ''] = line.split('\t');
        return [name, commit] as const;
      }),
  );
  const commit = names.map((name) => found.get(name)).find((each) => each !== undefined);
  if (commit !== undefined && isCommit(commit)) return commit;
  throw new WorkerError('GIT_FAILED', `${nameOf(url)} has no branch or tag ${JSON.stringify(ref)}`, { ref });
}

/**
 * The files of one commit in a folder, without its history, without submodules; their times are the commit's. Throws
 * GIT_FAILED, SOURCE_DENIED, LIMIT_EXCEEDED.
 */
export async function checkOut(
  source: GitSpec & { readonly commit: string },
  directory: string,
  context: GitContext,
): Promise<TreeSize> {
  const url = gitAddress(source.url, context.policy);
  const { signal } = context;
  const options = gitOptions(context);
  await makeDirectory(directory);
  await runGit(['-C', directory, 'init', '--quiet', '--template='], options);
  await fetchWithin(url, source, directory, context);
  const size = await sizeOfTree(directory, source.commit, context);
  await runGit(['-C', directory, 'checkout', '--quiet', '--force', '--detach', source.commit], options);
  const said = await runGit(['-C', directory, 'log', '-1', '--format=%ct', source.commit], options);
  await rm(join(directory, '.git'), { recursive: true, force: true });
  await setTimes(Buffer.from(directory), Number(said.toString().trim()), signal);
  return size;
}

/** Fetches the commit alone, and watches what that costs. */
async function fetchWithin(
  url: URL,
  { commit, ref }: GitSpec & { readonly commit: string },
  directory: string,
  context: GitContext,
): Promise<void> {
  const tooLarge = new AbortController();
  const done = new AbortController();
  const watching = watchSize(join(directory, '.git'), context.limits.maxUploadBytes, tooLarge, done.signal);
  const options = { ...gitOptions(context), signal: AbortSignal.any([context.signal, tooLarge.signal]) };
  const fetch = [
    '-C',
    directory,
    'fetch',
    '--quiet',
    '--depth=1',
    '--no-tags',
    '--no-recurse-submodules',
    '--',
    url.href,
  ];
  try {
    await runGit([...fetch, commit], options).catch(async (thrown: unknown) => {
      options.signal.throwIfAborted();
      // Servers that give no commit by its id give what a name stands for.
      if (ref === undefined || isCommit(ref)) throw thrown;
      await runGit([...fetch, gitRef(ref)], options);
    });
    await runGit(['-C', directory, 'cat-file', '-e', `${commit}^{commit}`], options).catch((cause: unknown) => {
      options.signal.throwIfAborted();
      throw new WorkerError('GIT_FAILED', `${nameOf(url)} no longer gives the commit ${commit}`, { commit }, { cause });
    });
  } finally {
    done.abort();
    await watching;
  }
}

async function watchSize(
  directory: string,
  maxBytes: number,
  tooLarge: AbortController,
  done: AbortSignal,
): Promise<void> {
  while (!done.aborted) {
    await sleep(LOOK_MS, undefined, { signal: done }).catch(() => undefined);
    const bytes = await sizeBelow(join(directory, 'objects', 'pack'));
    if (bytes > maxBytes)
      tooLarge.abort(
        new WorkerError('LIMIT_EXCEEDED', `the git source has more than ${maxBytes} bytes`, {
          limit: String(maxBytes),
        }),
      );
  }
}

async function sizeBelow(directory: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(directory).catch(() => [])) {
    bytes += (await stat(join(directory, name)).catch(() => undefined))?.size ?? 0;
  }
  return bytes;
}

/** Looked at before anything is checked out. Throws LIMIT_EXCEEDED. */
async function sizeOfTree(directory: string, commit: string, context: GitContext): Promise<TreeSize> {
  const { limits } = context;
  const output = await runGit(['-C', directory, 'ls-tree', '-r', '-t', '-l', '-z', commit], gitOptions(context));
  let [entries, bytes] = [0, 0];
  for (const line of output.toString('latin1').split('\0')) {
    if (line === '') continue;
    const [head = '', path = ''] = line.split('\t');
    entries += 1;
    bytes += Number(head.split(/\s+/)[3]) || 0;
    const what =
      entries > limits.maxEntries
        ? `more than ${limits.maxEntries} entries`
        : bytes > limits.maxContextBytes
          ? `more than ${limits.maxContextBytes} bytes`
          : path.split('/').length > limits.maxDepth
            ? `a path of more than ${limits.maxDepth} names`
            : undefined;
    if (what !== undefined) throw new WorkerError('LIMIT_EXCEEDED', `the git source has ${what}`);
  }
  return { entries, bytes };
}

/** A layer of copied files is the same whenever it is built. */
async function setTimes(directory: Buffer, seconds: number, signal: AbortSignal): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true, encoding: 'buffer' })) {
    signal.throwIfAborted();
    const path = Buffer.concat([directory, Buffer.from('/'), entry.name]);
    if (entry.isDirectory()) await setTimes(path, seconds, signal);
    await lutimes(path, seconds, seconds);
  }
}

function gitOptions({ limits, policy, ...context }: GitContext): GitOptions {
  return { ...context, protocols: policy.git.protocols, timeoutMs: limits.gitTimeoutMs };
}

function nameOf(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}
