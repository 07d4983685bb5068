import type { Cancelable } from '../../errors/index.ts';
import type { Secret } from '../../telemetry/index.ts';

/** A login at a registry, in the three forms that docker's config knows. */
export type Credential =
  | { readonly kind: 'basic'; readonly username: string; readonly password: Secret }
  /** Exchanged for tokens at the token service (OAuth2 refresh token). */
  | { readonly kind: 'identityToken'; readonly token: Secret }
  /** Sent to the registry as it is. */
  | { readonly kind: 'registryToken'; readonly token: Secret };

/** Where logins come from. */
export interface CredentialSource {
  /** The login for `host[:port]`, undefined when there is none. Throws REGISTRY_UNAUTHENTICATED when a helper fails. */
  get(host: string, options: Cancelable): Promise<Credential | undefined>;
}

/** For registries that want no login. */
export const NO_CREDENTIALS: CredentialSource = { get: () => Promise.resolve(undefined) };
