import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../../scripts/services/ports.ts';
import { startServer } from './server-process.ts';
import { temporaryDirectory } from './temporary-directory.ts';
import type { TokenService } from './token-service.ts';

export interface RunningRegistry extends AsyncDisposable {
  /** `127.0.0.1:port` */
  readonly address: string;
  /** A second one over the same files, which knows what these say and nothing else. */
  startedAgain(): Promise<RunningRegistry>;
}

export const TEST_LOGIN = { username: 'builder', password: 'correct horse' } as const;
/** bcrypt (cost 4) of the password above: the one form of htpasswd that distribution reads. */
const HTPASSWD = 'builder:$2b$04$AW9Tj5cBsFuepCMVAT8RzeD1j6nbu4uWJj13ZXCXSpA96HhWeGyF.\n';

/** An empty olareg: the registry of `scripts/services.sh`, without logins. */
export async function startOlareg(): Promise<RunningRegistry> {
  const directory = await temporaryDirectory('olareg');
  return await olaregOver(directory.path, directory);
}

async function olaregOver(directory: string, owned?: AsyncDisposable): Promise<RunningRegistry> {
  const stack = new AsyncDisposableStack();
  stack.use(owned);
  const port = await freePort();
  const args = [
    'serve',
    '--addr',
    '127.0.0.1',
    '--port',
    String(port),
    '--dir',
    directory,
    '--api-delete',
    '--api-blob-delete',
  ];
  stack.use(await startServer({ program: 'olareg', args, url: `http://127.0.0.1:${port}/v2/` }));
  return {
    address: `127.0.0.1:${port}`,
    startedAgain: () => olaregOver(directory),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

export type DistributionAuth =
  | { readonly kind: 'none' }
  | { readonly kind: 'basic' }
  | { readonly kind: 'token'; readonly service: TokenService };

/** An empty distribution registry, with TEST_LOGIN where it wants one. */
export async function startDistribution(auth: DistributionAuth): Promise<RunningRegistry> {
  const directory = await temporaryDirectory('distribution');
  return await distributionOver(auth, directory.path, directory);
}

async function distributionOver(
  auth: DistributionAuth,
  directory: string,
  owned?: AsyncDisposable,
): Promise<RunningRegistry> {
  const stack = new AsyncDisposableStack();
  stack.use(owned);
  const port = await freePort();
  const config = join(directory, `config-${port}.yml`);
  await writeFile(join(directory, 'htpasswd'), HTPASSWD);
  if (auth.kind === 'token') await writeFile(join(directory, 'jwks.json'), auth.service.jwks);
  await writeFile(config, configOf(auth, directory, port));
  const args = ['serve', config];
  stack.use(
    await startServer({
      program: 'registry',
      args,
      url: `http://127.0.0.1:${port}/v2/`,
      env: { OTEL_TRACES_EXPORTER: 'none' },
    }),
  );
  return {
    address: `127.0.0.1:${port}`,
    startedAgain: () => distributionOver(auth, directory),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** JSON is YAML. `relativeurls` lets the registry stand behind a proxy on another port. */
function configOf(auth: DistributionAuth, directory: string, port: number): string {
  const login = {
    none: () => ({}),
    basic: () => ({ auth: { htpasswd: { realm: 'test', path: join(directory, 'htpasswd') } } }),
    token: () => {
      if (auth.kind !== 'token') return {};
      const { realm, service, issuer } = auth.service;
      return {
        auth: { token: { realm, service, issuer, jwks: join(directory, 'jwks.json'), signingalgorithms: ['ES256'] } },
      };
    },
  }[auth.kind]();
  return JSON.stringify({
    version: '0.1',
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(directory, 'data') }, delete: { enabled: true } },
    http: { addr: `127.0.0.1:${port}`, relativeurls: true, secret: 'test' },
    ...login,
  });
}
