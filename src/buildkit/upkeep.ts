import type { Cancelable } from '../errors/index.ts';
import type { ControlClient, UsageRecord } from '../gen/github.com/moby/buildkit/api/services/control/control.ts';
import { callUnary } from '../rpc/index.ts';
import { failureOfCall } from './call-failure.ts';

const ANSWER_MS = 10_000;
const NANOSECONDS_PER_MS = 1_000_000n;

/** What stays of the daemon's cache. */
export interface PruneBounds {
  /** The least recently used goes until the rest is no more than this. */
  readonly keepBytes: number;
  /** What was used within this stays whatever its size. */
  readonly keepMs: number;
}

/** Removes what the daemon's cache has too much. Says how many bytes went. */
export async function pruneCache(
  control: ControlClient,
  { keepBytes, keepMs }: PruneBounds,
  { signal }: Cancelable,
): Promise<number> {
  signal.throwIfAborted();
  const request = {
    filter: [],
    all: true,
    keepDuration: BigInt(keepMs) * NANOSECONDS_PER_MS,
    reservedSpace: 0n,
    maxUsedSpace: BigInt(keepBytes),
    minFreeSpace: 0n,
  };
  const stream = control.prune(request);
  const cancel = () => {
    stream.cancel();
  };
  signal.addEventListener('abort', cancel, { once: true });
  let freedBytes = 0;
  try {
    for await (const { Size: sizeBytes } of stream as AsyncIterable<UsageRecord>) freedBytes += Number(sizeBytes);
    return freedBytes;
  } catch (thrown) {
    signal.throwIfAborted();
    throw failureOfCall(thrown, 'prune the build cache').error;
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

/** Platforms that the daemon builds for, `os/arch[/variant]`. Throws BUILDKIT_UNAVAILABLE. */
export async function daemonPlatforms(control: ControlClient, { signal }: Cancelable): Promise<readonly string[]> {
  try {
    const request = { filter: [] };
    const options = { signal, timeoutMs: ANSWER_MS };
    const { record } = await callUnary(control.listWorkers.bind(control), request, options);
    const names = record.flatMap(({ platforms }) =>
      platforms.map(({ Architecture, OS, Variant }) => [OS, Architecture, Variant].filter(Boolean).join('/')),
    );
    return [...new Set(names)];
  } catch (thrown) {
    signal.throwIfAborted();
    throw failureOfCall(thrown, 'ask for the platforms of buildkitd').error;
  }
}
