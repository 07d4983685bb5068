import type { PackCacheSettings } from '../jobs/index.ts';
import { type ObjectStore, openStore } from '../objects/index.ts';
import { createRegistryClient, loadCredentials, type RegistryClient } from '../registry/index.ts';
import type { CommandContext } from './context.ts';
import { parseSize } from './parse-options.ts';

/** The registry client of a command, with the logins of this machine. */
export async function registryClient(
  { env, log }: CommandContext,
  { plainHttp = false }: { readonly plainHttp?: boolean } = {},
): Promise<RegistryClient> {
  return createRegistryClient({ credentials: await loadCredentials(env), plainHttp, log });
}

/** The object store a command names, or the configured one, or a folder under the state directory. */
export function objectStore({ env, settings }: CommandContext, url?: string): ObjectStore {
  return openStore(url ?? settings.store ?? `file://${settings.stateDir}/store`, env);
}

/** The pack cache of a command: how large the local one may be, and the store it is shared through, if any. */
export function packCacheSettings(
  { env, settings }: CommandContext,
  url = settings.packCacheStore,
): PackCacheSettings & AsyncDisposable {
  const maxBytes = parseSize(settings.packCacheSize, 'CLIPYARD_PACK_CACHE_SIZE');
  const shared = url === undefined ? undefined : openStore(url, env);
  return { maxBytes, shared, [Symbol.asyncDispose]: async () => shared?.[Symbol.asyncDispose]() };
}
