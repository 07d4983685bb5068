import { isErrorCode, WorkerError } from '../../errors/index.ts';
import type { StoredEvent } from '../../queue/index.ts';
import type { BuildView } from '../../worker/index.ts';
import type { CommandContext } from '../context.ts';
import { createProgress, type ProgressMode } from '../progress/index.ts';
import { WatchedEvents } from '../watched-events.ts';
import type { WorkerCalls } from '../worker-client.ts';

export interface FollowOptions {
  /** Cursor of the last event that was seen. */
  readonly after: number;
  readonly skipLogs?: boolean;
  readonly progress: ProgressMode;
}

/**
 * Shows a build's events until it ends, over broken connections too. With `json` they are lines on stderr. Throws the build's
 * own failure, BUILD_CANCELED.
 */
export async function followBuild(
  buildId: string,
  { after, progress: mode, skipLogs = false }: FollowOptions,
  { client, workspaceId }: WorkerCalls,
  json: boolean,
  { signal, stderr }: CommandContext,
): Promise<BuildView> {
  {
    using progress = createProgress({ mode: json ? 'json' : mode, stderr });
    const watched = new WatchedEvents();
    for await (const event of client.builds.watch(workspaceId, buildId, { after, skipLogs, signal })) {
      if (json) stderr.write(`${JSON.stringify(eventLine(buildId, event))}\n`);
      else for (const each of watched.of(event)) progress.report(each);
    }
  }
  const build = await client.builds.get(workspaceId, buildId, { signal });
  if (build.state === 'canceled') throw new WorkerError('BUILD_CANCELED', `build ${buildId} was canceled`, { buildId });
  if (build.state === 'failed') throw failureOf(build);
  return build;
}

/** A build as commands print it. */
export function buildDocument({ position, result, failure, ...build }: BuildView): object {
  return { ...build, position, failure, result };
}

function eventLine(buildId: string, { kind, ...event }: StoredEvent): object {
  return { event: kind, buildId, ...event };
}

function failureOf({ buildId, failure }: BuildView): WorkerError {
  const { code = 'INTERNAL', details = {}, message = `build ${buildId} failed` } = failure ?? {};
  const texts = Object.entries(details).map(([name, value]): [string, string] => [
    name,
    typeof value === 'string' ? value : JSON.stringify(value),
  ]);
  // A code of a newer worker is unknown here.
  return new WorkerError(isErrorCode(code) ? code : 'BUILD_FAILED', message, { buildId, ...Object.fromEntries(texts) });
}
