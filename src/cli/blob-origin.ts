import type { BlobOrigin } from '../mount/index.ts';
import { type Credential, endpointOf, loadCredentials, parseReference, type Repository } from '../registry/index.ts';
import type { CommandContext } from './context.ts';

/** Where a mount reads blobs: the stored reference, or the one that overrides it, with this machine's login for its host. */
export async function blobOrigin(
  stored: Repository,
  flags: { readonly storageRef?: string; readonly plainHttp?: boolean },
  { env, settings, signal }: CommandContext,
): Promise<BlobOrigin> {
  const { registry, repository } = flags.storageRef === undefined ? stored : parseReference(flags.storageRef);
  const credential = await (await loadCredentials(env)).get(registry, { signal });
  const caFile = settings.caFile ?? env['SSL_CERT_FILE'];
  return {
    registry: { baseUrl: endpointOf(registry, flags.plainHttp ?? false).origin, repository },
    ...(credential !== undefined && { credentials: handedOver(credential) }),
    ...(caFile !== undefined && caFile !== '' && { caFile }),
  };
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
