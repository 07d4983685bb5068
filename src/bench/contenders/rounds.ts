import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cancelable, toWorkerError } from '../../errors/index.ts';
import type { Link } from '../link/link.ts';
import { ShapingProxy, type Traffic } from '../link/shaping-proxy.ts';
import type { Contender, Outcome } from './contender.ts';

export interface RoundsOptions extends Cancelable {
  readonly rounds: number;
  /** `host:port` */
  readonly registry: string;
  /** With a link every run goes through the proxy, else only the counting one. */
  readonly link: Link | undefined;
  readonly scratchDir: string;
  readonly say: (line: string) => void;
  /** Looks at what the counting run made, before it is removed. */
  readonly inspect?: (contender: Contender, outcome: Outcome) => Promise<{ readonly nodes?: number | undefined }>;
}

export interface ContenderRuns {
  readonly contender: Contender;
  readonly runs: readonly Outcome[];
  /** Bytes between it and the registry, of the counting run. */
  readonly traffic: Traffic | undefined;
  readonly nodes: number | undefined;
}

/**
 * One counting run of each contender, which also warms page cache and disk, then `rounds` of all in turn, so that a slow
 * minute of the machine hits each of them. A run has a folder of its own, removed afterwards.
 */
export async function runRounds(
  contenders: readonly Contender[],
  options: RoundsOptions,
): Promise<readonly ContenderRuns[]> {
  const { inspect, link, registry, rounds, say, scratchDir, signal } = options;
  const results = contenders.map((contender) => ({
    contender,
    runs: [] as Outcome[],
    traffic: undefined as Traffic | undefined,
    nodes: undefined as number | undefined,
  }));
  for (let round = 0; round <= rounds; round++) {
    for (const result of results) {
      const { contender } = result;
      if (contender.unavailable !== undefined) continue;
      signal.throwIfAborted();
      const counting = round === 0;
      const directory = join(scratchDir, `${contender.id}-${round}`);
      await mkdir(directory, { recursive: true });
      try {
        await using proxy = counting || link !== undefined ? await ShapingProxy.start(registry, link) : undefined;
        const outcome = await contender.run({ directory, registry: proxy?.address ?? registry, signal });
        if (counting) {
          result.traffic = proxy?.traffic();
          result.nodes = (await inspect?.(contender, outcome))?.nodes;
        } else {
          result.runs.push(outcome);
        }
        say(
          `${counting ? 'counting run' : `round ${round}/${rounds}`}: ${contender.id} ${outcome.seconds.toFixed(2)} s, ${outcome.cpuSeconds.toFixed(2)} CPU s`,
        );
      } catch (thrown) {
        signal.throwIfAborted();
        throw toWorkerError(thrown, `bench ${contender.id}`, 'BENCH_FAILED');
      } finally {
        await rm(directory, { recursive: true, force: true });
      }
    }
  }
  return results;
}
