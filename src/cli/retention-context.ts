import { existsSync } from 'node:fs';
import { WorkerError } from '../errors/index.ts';
import type { ObjectStore } from '../objects/index.ts';
import type { RegistryClient, Repository } from '../registry/index.ts';
import {
  createRepositoryLock,
  ghcrStore,
  type RepositoryStore,
  type RetentionContext,
  type RetentionEvent,
  registryStore,
} from '../release/index.ts';
import { Secret } from '../telemetry/index.ts';
import type { CommandContext } from './context.ts';
import { objectStore, trustOf } from './services.ts';

export interface RetentionPlace {
  readonly client: RegistryClient;
  readonly repository: Repository;
  /** Whose pointers stay mountable: these, the configured one when none is named, none at all for `false`. */
  readonly stores: readonly string[] | false;
  /** Of GitHub, where it is not the one that belongs to ghcr.io. */
  readonly packagesApi?: string | undefined;
}

const GHCR = 'ghcr.io';
const GITHUB_API = 'https://api.github.com';

/** What a retention needs; the stack closes it. Throws USAGE where a token is missing. */
export function retentionContext(
  place: RetentionPlace,
  onEvent: (event: RetentionEvent) => void,
  context: CommandContext,
  stack: AsyncDisposableStack,
): RetentionContext {
  const { settings, signal } = context;
  return {
    store: storeOf(place, context, stack),
    objectStores: storesOf(place, context).map((store) => stack.use(store)),
    lock: createRepositoryLock(settings.stateDir),
    stateDirectory: settings.stateDir,
    nowMs: Date.now(),
    signal,
    onEvent,
  };
}

/** GitHub's registry deletes by its packages API alone. Throws USAGE without a token for it. */
export function packagesApiOf(
  { packagesApi, repository }: Pick<RetentionPlace, 'packagesApi' | 'repository'>,
  { env }: Pick<CommandContext, 'env'>,
): { readonly api: string; readonly token: Secret } | undefined {
  const api = packagesApi ?? (repository.registry === GHCR ? GITHUB_API : undefined);
  if (api === undefined) return undefined;
  const token = env['GITHUB_TOKEN'];
  if (token === undefined || token === '')
    throw new WorkerError('USAGE', `GITHUB_TOKEN is not set: ${api} deletes for a token with delete:packages`);
  return { api, token: new Secret(token) };
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

/** The named ones, or the configured one, or the one that builds use by themselves where it is there. */
function storesOf({ stores }: RetentionPlace, context: CommandContext): readonly ObjectStore[] {
  if (stores === false) return [];
  if (stores.length > 0) return stores.map((url) => objectStore(context, url));
  const { settings } = context;
  const isThere = settings.store !== undefined || existsSync(`${settings.stateDir}/store`);
  return isThere ? [objectStore(context)] : [];
}

function storeOf(place: RetentionPlace, context: CommandContext, stack: AsyncDisposableStack): RepositoryStore {
  const { client, repository } = place;
  const packages = packagesApiOf(place, context);
  if (packages === undefined) return registryStore(client, repository);
  return stack.use(ghcrStore(client, repository, { ...packages, trust: trustOf(context), log: context.log }));
}
