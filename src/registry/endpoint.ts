import { WorkerError } from '../errors/index.ts';

/** Whether plain http may be spoken to all hosts, to these `host[:port]`, or (always) to loopback only. */
export type PlainHttp = boolean | readonly string[];

const DOCKER_HUB_HOST = 'registry-1.docker.io';

/** Whether a host name or `host:port` can only mean this machine. */
export function isLoopback(host: string): boolean {
  const name = host.startsWith('[') ? host.slice(1, host.indexOf(']')) : host.replace(/:\d+$/, '');
  return name === 'localhost' || name === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(name);
}

/** Where a registry's API is: plain http on loopback and where asked for, https everywhere else. */
export function endpointOf(registry: string, plainHttp: PlainHttp): URL {
  const host = registry === 'docker.io' ? DOCKER_HUB_HOST : registry;
  const url = new URL(`${allowsPlainHttp(host, plainHttp) ? 'http' : 'https'}://${host}`);
  if (url.pathname !== '/' || url.username !== '')
    throw new WorkerError('REFERENCE_INVALID', `no registry host: ${JSON.stringify(registry)}`);
  return url;
}

/** Refuses a URL that somebody else named (a redirect, a token service) when it is plain http to another machine. */
export function requireSecure(url: URL, plainHttp: PlainHttp, what: string): void {
  if (url.protocol === 'https:') return;
  if (url.protocol !== 'http:') throw new WorkerError('REGISTRY_PROTOCOL', `${what} names a ${url.protocol} address`);
  if (!allowsPlainHttp(url.host, plainHttp))
    throw new WorkerError('REGISTRY_INSECURE', `${what} leads to plain http at ${url.host}`, { host: url.host });
}

function allowsPlainHttp(host: string, plainHttp: PlainHttp): boolean {
  return isLoopback(host) || plainHttp === true || (typeof plainHttp === 'object' && plainHttp.includes(host));
}
