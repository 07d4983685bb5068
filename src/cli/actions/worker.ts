import { setTimeout as sleep } from 'node:timers/promises';
import { WorkerError } from '../../errors/index.ts';
import { readWorkerConfig, serveMetrics, type WorkerConfig } from '../../worker/index.ts';
import type { CommandContext } from '../context.ts';
import { openWorker, type WorkerFlags } from '../worker-parts.ts';

/** Of a worker that drained and could not finish every build: others have them. */
const EXIT_HANDED_BACK = 3;
/** Who watched the last builds sees them end and asks for their results, maybe of the only worker there is. */
const LINGER_MS = 2000;

/** `clipyard worker`. Returns when the worker has drained. */
export async function worker(flags: WorkerFlags, context: CommandContext): Promise<void> {
  const config = withFlags(await readWorkerConfig(flags.config), flags);
  await using parts = await openWorker(config, flags, context);
  const { edge, loop, metrics } = parts;
  await using server =
    flags.metrics === undefined
      ? undefined
      : await serveMetrics(flags.metrics, { metrics, status: () => loop.status() });
  if (server !== undefined) context.log.info({ address: server.address }, 'metrics');
  const drain = () => {
    edge.setReady(false);
    // The worker goes even when nobody waits for it any more.
    loop.drain(undefined, { signal: new AbortController().signal }).catch(() => undefined);
  };
  context.signal.addEventListener('abort', drain, { once: true });
  try {
    if (context.signal.aborted) drain();
    await loop.start();
    edge.setReady(true);
    const { finished, handedBack } = await loop.done;
    if (finished > 0) await sleep(LINGER_MS);
    if (handedBack > 0) process.exitCode = EXIT_HANDED_BACK;
  } finally {
    context.signal.removeEventListener('abort', drain);
  }
}

/** Throws USAGE. */
function withFlags(config: WorkerConfig, { concurrency, drainBudget }: WorkerFlags): WorkerConfig {
  return {
    ...config,
    ...(concurrency !== undefined && { concurrency: positive(concurrency, '--concurrency', 256) }),
    ...(drainBudget !== undefined && { drainBudgetSeconds: positive(drainBudget, '--drain-budget', 1_000_000) }),
  };
}

function positive(text: string, flag: string, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= most) return value;
  throw new WorkerError('USAGE', `${flag} ${text}: a whole number from 1 to ${most} is needed`);
}
