import { chmod, rm } from 'node:fs/promises';
import { isIP } from 'node:net';
import { type Server, type ServerCredentials } from '@grpc/grpc-js';
import { messageOf, WorkerError } from '../../errors/index.ts';

/** Where a server listens: `host:port` (port 0 takes a free one) or `unix:///path`. */
export type ListenAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** Throws CONFIG_INVALID. */
export function parseListen(text: string): ListenAddress {
  const path = /^unix:\/\/(?<path>\/.+)$/.exec(text)?.groups?.['path'];
  if (path !== undefined) return { kind: 'unix', path };
  const tcp = /^(?:\[(?<v6>[0-9a-f:]+)\]|(?<host>[^:/]+)):(?<port>\d{1,5})$/i.exec(text)?.groups;
  const port = Number(tcp?.['port']);
  if (tcp === undefined || port > 65_535)
    throw new WorkerError(
      'CONFIG_INVALID',
      `listen address ${JSON.stringify(text)} is neither host:port nor unix:///path`,
    );
  return { kind: 'tcp', host: tcp['v6'] ?? tcp['host'] ?? '', port };
}

/** Whether only this machine can reach it. */
export function isLocal(address: ListenAddress): boolean {
  if (address.kind === 'unix') return true;
  return isLoopbackHost(address.host);
}

/** `localhost` and the loopback addresses; a name may lead anywhere. */
export function isLoopbackHost(host: string): boolean {
  if (isIP(host) === 4) return host.startsWith('127.');
  return host === '::1' || host === 'localhost';
}

/** Binds and gives the address that clients use. A socket is for its owner alone. Throws CONFIG_INVALID. */
export async function listen(server: Server, address: ListenAddress, credentials: ServerCredentials): Promise<string> {
  if (address.kind === 'unix') {
    await rm(address.path, { force: true }); // of a server that was killed
    await bind(server, `unix:${address.path}`, credentials);
    await chmod(address.path, 0o600);
    return `unix://${address.path}`;
  }
  const host = isIP(address.host) === 6 ? `[${address.host}]` : address.host;
  const port = await bind(server, `${host}:${address.port}`, credentials);
  return `${host}:${port}`;
}

async function bind(server: Server, target: string, credentials: ServerCredentials): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  server.bindAsync(target, credentials, (error, port) => {
    if (error === null) resolve(port);
    else reject(error);
  });
  return await promise.catch((thrown: unknown) => {
    throw new WorkerError('CONFIG_INVALID', `cannot listen at ${target}: ${messageOf(thrown)}`, {}, { cause: thrown });
  });
}
