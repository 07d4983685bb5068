import { WorkerError } from '../errors/index.ts';

/** `unix:///path` and `tcp://host:port` as gRPC names them. Throws CONFIG_INVALID. */
export function grpcTarget(address: string): string {
  if (/^unix:\/\/\/./.test(address)) return address;
  const tcp = /^tcp:\/\/(?<host>\[[0-9a-f:]+\]|[^/:]+):(?<port>\d{1,5})\/?$/i.exec(address)?.groups;
  if (tcp !== undefined) return `dns:///${tcp['host'] ?? ''}:${tcp['port'] ?? ''}`;
  throw new WorkerError(
    'CONFIG_INVALID',
    `BuildKit address ${JSON.stringify(address)} is neither unix:///path nor tcp://host:port`,
  );
}
