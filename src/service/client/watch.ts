import type { ClientReadableStream } from '@grpc/grpc-js';
import type { Cancelable } from '../../errors/index.ts';
import type { BuildEvent } from '../../gen/clipyard/v1/build.ts';
import type { StoredEvent } from '../../queue/index.ts';
import { eventFromProto } from '../mapping/event.ts';
import type { Channel } from './channel.ts';

/** A stream that lasted as long had a connection, even when nothing was told. */
const CONNECTED_MS = 5000;

export interface WatchOptions extends Cancelable {
  readonly after: number;
  /** How long a worker may be out of reach before the watch gives up. */
  readonly patienceMs: number;
}

/**
 * The events behind `after`, every one once and in order, over as many connections as it takes: each new one goes on behind the
 * last event that was seen. Throws what the worker throws, and WORKER_UNAVAILABLE after the patience.
 */
export async function* watchResumed(
  open: (cursor: number) => ClientReadableStream<BuildEvent>,
  channel: Channel,
  { after, patienceMs, signal }: WatchOptions,
): AsyncGenerator<StoredEvent> {
  let cursor = after;
  let failures = 0;
  let brokenSinceMs: number | undefined;
  for (;;) {
    const openedMs = performance.now();
    try {
      for await (const event of eventsOf(open(cursor), signal)) {
        if (event.cursor <= cursor) continue;
        cursor = event.cursor;
        failures = 0;
        brokenSinceMs = undefined;
        yield event;
      }
      return;
    } catch (thrown) {
      signal.throwIfAborted();
      const error = channel.error(thrown);
      const now = performance.now();
      if (now - openedMs > CONNECTED_MS) brokenSinceMs = undefined;
      brokenSinceMs ??= now;
      if (error.category !== 'unavailable' || now - brokenSinceMs > patienceMs) throw error;
    }
    await channel.pause(++failures, { signal });
  }
}

async function* eventsOf(call: ClientReadableStream<BuildEvent>, signal: AbortSignal): AsyncGenerator<StoredEvent> {
  const cancel = () => {
    call.cancel();
  };
  signal.addEventListener('abort', cancel, { once: true });
  try {
    signal.throwIfAborted();
    for await (const event of call as AsyncIterable<BuildEvent>) yield eventFromProto(event);
  } finally {
    signal.removeEventListener('abort', cancel);
    // Of a call that is canceled half read nobody else takes the error.
    call.on('error', () => undefined);
    call.cancel();
  }
}
