import { WorkerError } from '../../errors/index.ts';
import { isLocal, parseListen } from '../server/listen.ts';

/** Where a worker is: `host:port`, `http://host:port`, `https://host:port` (TLS) or `unix:///path`. */
export interface ServerAddress {
  /** As gRPC names it. */
  readonly target: string;
  readonly tls: boolean;
  /** Whether bytes to it leave this machine. */
  readonly local: boolean;
}

/** Throws CONFIG_INVALID. */
export function parseServer(text: string): ServerAddress {
  const { rest = '', scheme } = /^(?:(?<scheme>https?):\/\/)?(?<rest>.+?)\/?$/.exec(text)?.groups ?? {};
  try {
    const address = parseListen(rest);
    if (address.kind === 'unix' && scheme === undefined)
      return { target: `unix:${address.path}`, tls: false, local: true };
    if (address.kind === 'tcp') {
      const host = address.host.includes(':') ? `[${address.host}]` : address.host;
      return { target: `dns:///${host}:${address.port}`, tls: scheme === 'https', local: isLocal(address) };
    }
  } catch {
    // said below, with what belongs there
  }
  throw new WorkerError(
    'CONFIG_INVALID',
    `server address ${JSON.stringify(text)} is none of host:port, https://host:port, unix:///path`,
  );
}
