import { WorkerError } from '../errors/index.ts';
import type { BlobOrigin } from '../mount/index.ts';
import type { StoreAccess } from '../objects/index.ts';
import { type Credential, endpointOf, loadCredentials, parseReference, type Repository } from '../registry/index.ts';
import type { CommandContext } from './context.ts';
import { objectStore } from './services.ts';

export interface BlobFlags {
  readonly storageRef?: string;
  readonly plainHttp?: boolean;
  readonly mirror?: readonly string[];
  /** A store that is read instead of the registry. */
  readonly blobs?: string;
}

/** Where a mount reads blobs: the stored reference, or the one that overrides it, with this machine's login for its host. */
export async function blobOrigin(stored: Repository, flags: BlobFlags, context: CommandContext): Promise<BlobOrigin> {
  const { env, settings, signal } = context;
  const { registry, repository } = flags.storageRef === undefined ? stored : parseReference(flags.storageRef);
  const credential = await (await loadCredentials(env)).get(registry, { signal });
  const caFile = settings.caFile ?? env['SSL_CERT_FILE'];
  return {
    registry: { baseUrl: endpointOf(registry, flags.plainHttp ?? false).origin, repository },
    mirrors: (flags.mirror ?? []).map((mirror) => mirrorAddress(mirror, flags.plainHttp ?? false)),
    ...(flags.blobs !== undefined && { blobs: await accessTo(flags.blobs, context) }),
    ...(credential !== undefined && { credentials: handedOver(credential) }),
    ...(caFile !== undefined && caFile !== '' && { caFile }),
  };
}

async function accessTo(url: string, context: CommandContext): Promise<StoreAccess> {
  await using store = objectStore(context, url);
  return await store.access(context);
}

/**
 * `https://host:port`, `http://host:port`, or a host, which is spoken to as a registry of that name is. Throws USAGE for anything
 * else: a login in it would end up in lists and logs.
 */
export function mirrorAddress(mirror: string, plainHttp: boolean): string {
  if (!mirror.includes('://')) return endpointOf(mirror, plainHttp).origin;
  const url = URL.parse(mirror);
  const isPlain =
    url !== null && url.pathname === '/' && `${url.username}${url.password}${url.search}${url.hash}` === '';
  if (!isPlain || !['http:', 'https:'].includes(url.protocol))
    throw new WorkerError('USAGE', '--mirror: write http(s)://HOST[:PORT], without a path or a login');
  return url.origin;
}

/** The daemon's form of a login; it goes over its stdin, and nowhere else. */
function handedOver(credential: Credential): NonNullable<BlobOrigin['credentials']> {
  switch (credential.kind) {
    case 'basic':
      return { username: credential.username, password: credential.password.reveal() };
    case 'identityToken':
      return { identityToken: credential.token.reveal() };
    case 'registryToken':
      return { registryToken: credential.token.reveal() };
  }
}
