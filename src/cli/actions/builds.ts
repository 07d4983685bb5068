import { WorkerError } from '../../errors/index.ts';
import type { BuildState } from '../../queue/index.ts';
import { BUILD_STATES, isEnd } from '../../queue/index.ts';
import type { CommandContext } from '../context.ts';
import { formatSeconds, formatTable, writeResult } from '../output.ts';
import { parseAge, parseCount } from '../parse-options.ts';
import type { ProgressMode } from '../progress/index.ts';
import { type ClientFlags, workerCalls } from '../worker-client.ts';
import { buildDocument, followBuild } from './follow-build.ts';

export interface WatchFlags extends ClientFlags {
  readonly after: string;
  readonly skipLogs?: boolean;
  readonly progress: ProgressMode;
}

export interface BuildsFlags extends ClientFlags {
  readonly state: readonly string[];
  readonly imageId?: string;
  readonly limit: string;
  readonly page?: string;
}

/** `clipyard watch ID`. */
export async function watch(buildId: string, flags: WatchFlags, json: boolean, context: CommandContext): Promise<void> {
  using calls = await workerCalls(flags, context);
  const after = parseCount(flags.after, '--after', { min: 0, max: Number.MAX_SAFE_INTEGER });
  // A watch waits for a worker that is away; one that never was there is told at once.
  await calls.client.builds.get(calls.workspaceId, buildId, { signal: context.signal });
  const options = { after, skipLogs: flags.skipLogs === true, progress: flags.progress };
  const build = await followBuild(buildId, options, calls, json, context);
  writeResult(context.stdout, buildDocument(build), json, () => `${buildId} ${build.state}\n`);
}

/** `clipyard cancel ID`. */
export async function cancel(
  buildId: string,
  flags: ClientFlags & { readonly reason: string },
  json: boolean,
  context: CommandContext,
): Promise<void> {
  using calls = await workerCalls(flags, context);
  const { signal, stdout } = context;
  const build = await calls.client.builds.cancel(calls.workspaceId, buildId, flags.reason, { signal });
  writeResult(stdout, buildDocument(build), json, () => `${buildId} ${build.state}\n`);
}

/** `clipyard builds`. */
export async function builds(flags: BuildsFlags, json: boolean, context: CommandContext): Promise<void> {
  using calls = await workerCalls(flags, context);
  const query = {
    limit: parseCount(flags.limit, '--limit', { min: 1, max: 1000 }),
    ...(flags.state.length > 0 && { states: flags.state.map(stateOf) }),
    ...(flags.imageId !== undefined && { imageId: flags.imageId }),
    ...(flags.page !== undefined && { page: flags.page }),
  };
  const { signal, stdout } = context;
  const { next, records } = await calls.client.builds.list(calls.workspaceId, query, { signal });
  writeResult(stdout, { builds: records.map((each) => ({ ...each })), nextPage: next }, json, () => {
    const rows = records.map((each) => [
      each.buildId,
      each.imageId,
      each.state,
      String(each.attempt),
      new Date(each.submittedAtMs).toISOString(),
      each.startedAtMs === undefined || !isEnd(each.state)
        ? ''
        : formatSeconds((each.endedAtMs ?? each.startedAtMs) - each.startedAtMs),
      each.failure?.code ?? '',
    ]);
    const more = next === undefined ? '' : `more   clipyard builds --page ${next}\n`;
    return `${formatTable(['build', 'image', 'state', 'attempt >', 'submitted', 'took >', 'failure'], rows)}${more}`;
  });
}

/** `clipyard drain`. */
export async function drain(
  flags: ClientFlags & { readonly budget?: string },
  json: boolean,
  context: CommandContext,
): Promise<void> {
  using calls = await workerCalls(flags, context);
  const budgetMs = flags.budget === undefined ? undefined : parseAge(flags.budget, '--budget');
  const drained = await calls.client.control.drain(budgetMs, { signal: context.signal });
  const { finished, handedBack } = drained;
  writeResult(
    context.stdout,
    { finished, handedBack },
    json,
    () => `${finished} builds finished, ${handedBack} handed back; the worker takes no more\n`,
  );
}

function stateOf(written: string): BuildState {
  const state = BUILD_STATES.find((each) => each === written);
  if (state === undefined) throw new WorkerError('USAGE', `--state ${written}: one of ${BUILD_STATES.join(', ')}`);
  return state;
}
