import { CredentialsRequest, CredentialsResponse } from '../../gen/github.com/moby/buildkit/session/auth/auth.ts';
import type { RpcHandler } from './rpc-server.ts';
import { unary } from './unary.ts';

/** A login for a registry. An identity token has an empty user name. */
export interface RegistryLogin {
  readonly username: string;
  readonly secret: string;
}

/** Who knows the logins; undefined: pull without one. */
export interface LoginSource {
  get(host: string): Promise<RegistryLogin | undefined>;
}

/** What the daemon calls Docker Hub; docker configurations have another name for it. */
const DOCKER_HUB_HOSTS: ReadonlySet<string> = new Set(['registry-1.docker.io', 'docker.io', 'index.docker.io']);

/**
 * `moby.filesync.v1.Auth`: credentials only. The token methods are left out, then the daemon exchanges tokens itself, which
 * also works with registries that know nothing but Basic.
 */
export function authHandlers(logins: LoginSource): ReadonlyMap<string, RpcHandler> {
  return new Map([
    [
      '/moby.filesync.v1.Auth/Credentials',
      unary(CredentialsRequest, CredentialsResponse, async ({ Host: host }) => {
        const login = await logins.get(DOCKER_HUB_HOSTS.has(host) ? 'docker.io' : host);
        return { Username: login?.username ?? '', Secret: login?.secret ?? '' };
      }),
    ],
  ]);
}
