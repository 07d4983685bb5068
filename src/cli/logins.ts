import type { LoginSource } from '../buildkit/index.ts';
import type { CredentialSource } from '../registry/index.ts';

/** The daemon gives a session this long to answer. */
const LOGIN_DEADLINE_MS = 60_000;

/** The form in which BuildKit's session asks for logins: a password, or with an empty user a token (session/auth). */
export function loginsOf(credentials: CredentialSource): LoginSource {
  return {
    async get(host) {
      const credential = await credentials.get(host, { signal: AbortSignal.timeout(LOGIN_DEADLINE_MS) });
      if (credential === undefined) return undefined;
      return credential.kind === 'basic'
        ? { username: credential.username, secret: credential.password.reveal() }
        : { username: '', secret: credential.token.reveal() };
    },
  };
}
