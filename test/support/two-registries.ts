import { randomUUID } from 'node:crypto';
import { createRegistryClient, type RegistryClient, type Repository } from '../../src/registry/index.ts';
import { FaultProxy } from './fault-proxy.ts';
import { startDistribution, startOlareg } from './registry.ts';
import { type TemporaryDirectory, temporaryDirectory } from './temporary-directory.ts';

export type RegistryName = 'distribution' | 'olareg';

/** distribution, which keeps no lists of referrers, and olareg, which does, each behind a front that writes down and does harm. */
export interface TwoRegistries extends AsyncDisposable {
  readonly client: RegistryClient;
  readonly fronts: Readonly<Record<RegistryName, FaultProxy>>;
  readonly scratch: TemporaryDirectory;
  /** A name that nobody has used. */
  newRepository(registry: RegistryName): Repository;
}

const limits = { attempts: 3, pauseMs: 5, maxPauseMs: 10, retryBudgetMs: 5000 };

export async function startTwoRegistries(): Promise<TwoRegistries> {
  const stack = new AsyncDisposableStack();
  const scratch = stack.use(await temporaryDirectory('registries'));
  const running = await Promise.all([startDistribution({ kind: 'none' }), startOlareg()]);
  for (const each of running) stack.use(each);
  const [distribution, olareg] = running;
  const fronts = {
    distribution: stack.use(await FaultProxy.start(distribution.address)),
    olareg: stack.use(await FaultProxy.start(olareg.address)),
  };
  const client = stack.use(createRegistryClient({ limits }));
  return {
    client,
    fronts,
    scratch,
    newRepository: (registry) => ({ registry: fronts[registry].address, repository: `release/${randomUUID()}` }),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
