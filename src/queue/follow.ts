import type { Cancelable } from '../errors/index.ts';
import type { Bell } from './bell.ts';
import type { StoredEvent } from './records.ts';

/** Events behind a cursor, as many as fit a batch. */
export interface EventBatch {
  readonly events: readonly StoredEvent[];
  /** Nothing comes behind these. */
  readonly ended: boolean;
}

export interface FollowOptions extends Cancelable {
  readonly after: number;
  readonly skipLogs?: boolean;
  /** Looks again after this, should no bell have rung. */
  readonly lookEveryMs: number;
}

/** Reads what is there, then what comes, until the end: every event once and in order. */
export async function* follow(
  read: (after: number) => Promise<EventBatch>,
  bell: Bell,
  { after, skipLogs = false, lookEveryMs, signal }: FollowOptions,
): AsyncGenerator<StoredEvent> {
  let cursor = after;
  while (true) {
    signal.throwIfAborted();
    const { rings } = bell;
    const { events, ended } = await read(cursor);
    for (const event of events) {
      cursor = event.cursor;
      if (!skipLogs || event.kind !== 'log') yield event;
    }
    if (ended) return;
    if (events.length === 0) await bell.waitSince(rings, lookEveryMs, { signal });
  }
}
