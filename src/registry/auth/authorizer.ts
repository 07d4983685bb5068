import { type Cancelable, WorkerError } from '../../errors/index.ts';
import type { Clock } from '../clock.ts';
import { parseChallenges } from './challenge.ts';
import type { Credential, CredentialSource } from './credential.ts';
import { basicHeader, type Token, type TokenRequest } from './token-service.ts';

/** How a registry wants to be asked, learnt from its first 401. */
type Scheme =
  | { readonly kind: 'basic' }
  | { readonly kind: 'bearer'; readonly realm: string; readonly service: string | undefined };

interface Host {
  scheme?: Scheme;
  credential?: Promise<Credential | undefined>;
  readonly tokens: Map<string, Promise<Token>>;
}

export interface AuthorizerOptions {
  readonly credentials: CredentialSource;
  readonly clock: Clock;
  readonly fetchToken: (request: TokenRequest) => Promise<Token>;
}

export interface Authorizer {
  /** The Authorization header that is known to be wanted, undefined while nothing is known. */
  header(registry: string, scopes: readonly string[], options: Cancelable): Promise<string | undefined>;
  /**
   * The header for a second try after a 401. Throws REGISTRY_UNAUTHENTICATED or REGISTRY_DENIED when there is none that could
   * do better than `used`.
   */
  answer(
    registry: string,
    scopes: readonly string[],
    challenge: string,
    used: string | undefined,
    options: Cancelable,
  ): Promise<string>;
}

/** Logins and tokens, per registry and scope; a token is fetched once for all who wait for it. */
export function createAuthorizer({ credentials, clock, fetchToken }: AuthorizerOptions): Authorizer {
  const hosts = new Map<string, Host>();

  const hostOf = (registry: string): Host => {
    const host = hosts.get(registry) ?? { tokens: new Map<string, Promise<Token>>() };
    hosts.set(registry, host);
    return host;
  };

  const credentialOf = async (registry: string, { signal }: Cancelable): Promise<Credential | undefined> => {
    const host = hostOf(registry);
    host.credential ??= credentials.get(registry, { signal });
    try {
      return await host.credential;
    } catch (thrown) {
      delete host.credential;
      throw thrown;
    }
  };

  const bearer = async (
    registry: string,
    scheme: Extract<Scheme, { kind: 'bearer' }>,
    scopes: readonly string[],
    { signal }: Cancelable,
  ): Promise<string> => {
    const credential = await credentialOf(registry, { signal });
    if (credential?.kind === 'registryToken') return `Bearer ${credential.token.reveal()}`;
    const { tokens } = hostOf(registry);
    const key = scopes.join(' ');
    for (let held = tokens.get(key); held !== undefined; held = tokens.get(key)) {
      const token = await held.catch(() => undefined); // whoever began it reports the failure
      if (token !== undefined && token.expiresMs > clock.nowMs()) return headerOf(token);
      if (tokens.get(key) === held) tokens.delete(key);
    }
    const fetched = fetchToken({ realm: scheme.realm, service: scheme.service, scopes, credential, signal });
    tokens.set(key, fetched);
    try {
      return headerOf(await fetched);
    } catch (thrown) {
      if (tokens.get(key) === fetched) tokens.delete(key);
      throw thrown;
    }
  };

  const headerFor = async (
    registry: string,
    scheme: Scheme,
    scopes: readonly string[],
    { signal }: Cancelable,
  ): Promise<string> => {
    if (scheme.kind === 'bearer') return await bearer(registry, scheme, scopes, { signal });
    const credential = await credentialOf(registry, { signal });
    const header = basicHeader(credential)['authorization'];
    if (header !== undefined) return header;
    throw new WorkerError(
      'REGISTRY_UNAUTHENTICATED',
      `${registry} wants a user name and a password; there is none in the docker config`,
      { registry },
    );
  };

  return {
    async header(registry, scopes, { signal }) {
      const { scheme } = hostOf(registry);
      return scheme === undefined ? undefined : await headerFor(registry, scheme, scopes, { signal });
    },
    async answer(registry, scopes, challenge, used, { signal }) {
      const host = hostOf(registry);
      host.scheme = schemeOf(registry, challenge);
      if (used !== undefined) await forget(host, scopes.join(' '), used);
      const header = await headerFor(registry, host.scheme, scopes, { signal });
      if (header === used)
        throw new WorkerError('REGISTRY_UNAUTHENTICATED', `${registry} does not accept the login`, { registry });
      return header;
    },
  };
}

function headerOf(token: Token): string {
  return `Bearer ${token.value.reveal()}`;
}

/** Refused although it carried a login: a token may have been revoked, a helper may have a newer password. */
async function forget(host: Host, key: string, used: string): Promise<void> {
  const held = host.tokens.get(key);
  const token = await held?.catch(() => undefined);
  // Another request may have fetched a newer one in between.
  if (token === undefined || headerOf(token) === used) {
    if (host.tokens.get(key) === held) host.tokens.delete(key);
    delete host.credential;
  }
}

/** Bearer before Basic when a registry offers both: the password then goes to the token service only. */
function schemeOf(registry: string, challenge: string): Scheme {
  const challenges = parseChallenges(challenge);
  const bearer = challenges.find(({ scheme, parameters }) => scheme === 'bearer' && parameters['realm'] !== undefined);
  const realm = bearer?.parameters['realm'];
  if (realm !== undefined) return { kind: 'bearer', realm, service: bearer?.parameters['service'] };
  if (challenges.some(({ scheme }) => scheme === 'basic')) return { kind: 'basic' };
  throw new WorkerError(
    'REGISTRY_UNAUTHENTICATED',
    `${registry} wants a login of a kind that is not known: ${challenge.slice(0, 100)}`,
    { registry },
  );
}
