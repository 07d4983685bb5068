import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { systemCodeOf, toWorkerError, WorkerError } from '../../errors/index.ts';
import { Secret } from '../../telemetry/index.ts';
import type { Credential, CredentialSource } from './credential.ts';
import { runCredentialHelper } from './credential-helper.ts';

const AuthEntry = z.object({
  auth: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  identitytoken: z.string().optional(),
  registrytoken: z.string().optional(),
});

/** The fields of docker's `config.json` that concern logins (docker, "docker login", "Credential stores"). */
const DockerConfig = z.object({
  auths: z.record(z.string(), AuthEntry).default({}),
  credHelpers: z.record(z.string(), z.string()).default({}),
  credsStore: z.string().optional(),
});
type DockerConfig = z.infer<typeof DockerConfig>;

/** What Docker Hub is called in a docker config. */
const HUB_KEY = 'https://index.docker.io/v1/';
const HUB_HOSTS: ReadonlySet<string> = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);

/**
 * Logins of docker's config: a helper for the host, the store for all hosts, then what stands in the file itself. The folder
 * is `DOCKER_CONFIG` or `~/.docker`; no file is no login. Throws CONFIG_INVALID.
 */
export async function loadCredentials(env: Readonly<Record<string, string | undefined>>): Promise<CredentialSource> {
  const directory = env['DOCKER_CONFIG'] || (env['HOME'] === undefined ? undefined : join(env['HOME'], '.docker'));
  const config = directory === undefined ? DockerConfig.parse({}) : await readConfig(join(directory, 'config.json'));
  return credentialsOf(config, env);
}

async function readConfig(path: string): Promise<DockerConfig> {
  let content: string;
  try {
    content = await readFile(path, 'utf8');
  } catch (thrown) {
    if (systemCodeOf(thrown) === 'ENOENT') return DockerConfig.parse({});
    throw toWorkerError(thrown, `read ${path}`);
  }
  try {
    return DockerConfig.parse(JSON.parse(content));
  } catch {
    // Without the cause: a JSON error quotes the text, which may be a password.
    throw new WorkerError('CONFIG_INVALID', `${path} is no docker config`);
  }
}

function credentialsOf(config: DockerConfig, env: Readonly<Record<string, string | undefined>>): CredentialSource {
  return {
    async get(host, { signal }) {
      const isHub = HUB_HOSTS.has(host);
      const names = isHub ? [HUB_KEY, ...HUB_HOSTS] : [host];
      const helper =
        names.map((name) => own(config.credHelpers, name)).find((name) => name !== undefined) ?? config.credsStore;
      const fromHelper =
        helper === undefined || helper === ''
          ? undefined
          : await runCredentialHelper(helper, isHub ? HUB_KEY : host, { env, signal });
      return fromHelper ?? inFile(config, names, host);
    },
  };
}

/** Keys of `auths` are hosts, or addresses with a scheme and a path that old logins wrote. */
function inFile({ auths }: DockerConfig, names: readonly string[], host: string): Credential | undefined {
  const entry =
    names.map((name) => own(auths, name)).find((found) => found !== undefined) ??
    Object.entries(auths).find(([key]) => key.replace(/^https?:\/\//, '').replace(/\/.*$/, '') === host)?.[1];
  if (entry === undefined) return undefined;
  if (entry.registrytoken) return { kind: 'registryToken', token: new Secret(entry.registrytoken) };
  if (entry.identitytoken) return { kind: 'identityToken', token: new Secret(entry.identitytoken) };
  const decoded = entry.auth
    ? Buffer.from(entry.auth, 'base64').toString('utf8')
    : `${entry.username ?? ''}:${entry.password ?? ''}`;
  const colon = decoded.indexOf(':');
  if (colon < 0)
    throw new WorkerError('CONFIG_INVALID', `docker config: the login for ${host} is not base64 of user:password`);
  // An empty entry is left by a login that went into a store.
  return colon === 0
    ? undefined
    : {
        kind: 'basic',
        username: decoded.slice(0, colon),
        password: new Secret(decoded.slice(colon + 1).replace(/\0+$/, '')),
      };
}

function own<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}
