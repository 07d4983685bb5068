import type { PackCacheSettings } from '../jobs/index.ts';
import { type ObjectStore, openStore } from '../objects/index.ts';
import { createRegistryClient, loadCredentials, type RegistryClient } from '../registry/index.ts';
import { readAuthorities, type Trust } from '../tls/index.ts';
import type { CommandContext } from './context.ts';
import { parseSize } from './parse-options.ts';

/** Whose certificates a command believes. Throws CONFIG_INVALID for a CLIPYARD_CA_FILE or --ca-file that cannot be used. */
export function trustOf({ env, settings }: CommandContext, caFile = settings.caFile): Trust {
  return {
    systemFile: env['SSL_CERT_FILE'] || undefined,
    further: caFile === undefined ? undefined : readAuthorities(caFile),
  };
}

/** The registry client of a command, with the logins of this machine. */
export async function registryClient(
  context: CommandContext,
  { plainHttp = false }: { readonly plainHttp?: boolean } = {},
): Promise<RegistryClient> {
  const { env, log } = context;
  const trust = trustOf(context);
  return createRegistryClient({ credentials: await loadCredentials(env), plainHttp, log, trust });
}

/** The object store a command names, or the configured one, or a folder under the state directory. */
export function objectStore(context: CommandContext, url?: string): ObjectStore {
  const { env, settings } = context;
  return openStore(url ?? settings.store ?? `file://${settings.stateDir}/store`, env, trustOf(context));
}

/** The pack cache of a command: how large the local one may be, and the store it is shared through, if any. */
export function packCacheSettings(
  context: CommandContext,
  url = context.settings.packCacheStore,
): PackCacheSettings & AsyncDisposable {
  const { env, settings } = context;
  const maxBytes = parseSize(settings.packCacheSize, 'CLIPYARD_PACK_CACHE_SIZE');
  const shared = url === undefined ? undefined : openStore(url, env, trustOf(context));
  return { maxBytes, shared, [Symbol.asyncDispose]: async () => shared?.[Symbol.asyncDispose]() };
}
