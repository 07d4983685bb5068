import type { RegistryClient, Repository } from '../registry/index.ts';
import {
  ghcrStore,
  type RepositoryStore,
  type RetentionContext,
  type RetentionEvent,
  registryStore,
} from '../release/index.ts';
import type { CommandContext } from './context.ts';
import { packagesApiOf } from './packages-api.ts';
import { repositoryLock, storesOf } from './repository-lock.ts';
import { trustOf } from './services.ts';

export interface RetentionPlace {
  readonly client: RegistryClient;
  readonly repository: Repository;
  /** Whose pointers stay mountable: these, the configured one when none is named, none at all for `false`. */
  readonly stores: readonly string[] | false;
  /** `--packages-api`. */
  readonly packagesApi?: string | undefined;
}

/** What a retention needs; the stack closes it. Throws USAGE where a token is missing. */
export function retentionContext(
  place: RetentionPlace,
  onEvent: (event: RetentionEvent) => void,
  context: CommandContext,
  stack: AsyncDisposableStack,
): RetentionContext {
  const { settings, signal } = context;
  const objectStores = storesOf(place.stores, context).map((store) => stack.use(store));
  return {
    store: storeOf(place, context, stack),
    objectStores,
    lock: repositoryLock(objectStores, context),
    stateDirectory: settings.stateDir,
    nowMs: Date.now(),
    signal,
    onEvent,
  };
}

/** A line for people; empty for an event that is none. */
export function retentionLine(event: RetentionEvent): string {
  switch (event.type) {
    case 'reading':
      // A line each hundred: a repository may have thousands.
      return (event.tags + event.manifests) % 100 === 0
        ? `read ${event.tags} tags, ${event.manifests} manifests\n`
        : '';
    case 'planned':
      return `${event.deletions} deletions planned, ${event.keeps} manifests stay\n`;
    case 'deletion':
      return `${event.outcome} ${event.deletion.kind === 'tag' ? `tag ${event.deletion.tag}` : event.deletion.digest}\n`;
  }
}

/** A repository as it is deleted from: by its own API, or by the packages API of its registry. Throws USAGE where a token is missing. */
export function storeOf(
  { client, packagesApi, repository }: Omit<RetentionPlace, 'stores'>,
  context: CommandContext,
  stack: AsyncDisposableStack,
): RepositoryStore {
  const packages = packagesApiOf(repository.registry, packagesApi, context);
  if (packages === undefined) return registryStore(client, repository);
  return stack.use(ghcrStore(client, repository, { ...packages, trust: trustOf(context), log: context.log }));
}
