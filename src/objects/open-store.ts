import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { S3ClientConfig } from '@aws-sdk/client-s3';
import { WorkerError } from '../errors/index.ts';
import { type Trust, trusting } from '../tls/index.ts';
import { DirectoryStore } from './directory-store.ts';
import { requireKey } from './key.ts';
import { LazyStore } from './lazy-store.ts';
import type { ObjectStore } from './object-store.ts';

type Environment = Readonly<Record<string, string | undefined>>;

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
/** `socketTimeout`: without a byte in either direction. */
const CONNECTION = { connectionTimeout: 10_000, socketTimeout: 30_000 };
const ATTEMPTS = 4;

/**
 * Opens `s3://bucket[/prefix]` or `file:///directory`; nothing is contacted yet. The environment names endpoint, region and
 * keys as for every AWS tool; `trust` says whose certificates are believed. Throws CONFIG_INVALID.
 */
export function openStore(url: string, env: Environment, trust: Trust = {}): ObjectStore {
  if (!URL.canParse(url)) throw invalid(url, 'no address');
  const parsed = new URL(url);
  if (parsed.username !== '' || parsed.search !== '' || parsed.hash !== '')
    throw invalid(`${parsed.protocol}//…`, 'keys and options belong into the environment');
  if (parsed.protocol === 'file:') {
    if (parsed.host !== '') throw invalid(url, 'a file store is file:///directory, with three slashes');
    return new DirectoryStore(directoryOf(parsed, url));
  }
  if (parsed.protocol !== 's3:') throw invalid(url, 'neither s3:// nor file:///');
  const bucket = parsed.host;
  if (!BUCKET.test(bucket)) throw invalid(url, 'no bucket name');
  const prefix = decodeURIComponent(parsed.pathname).replace(/^\/+|\/+$/g, '');
  if (prefix !== '') requireKey(prefix);
  const config = clientConfig(env);
  return new LazyStore(`s3://${bucket}${prefix === '' ? '' : `/${prefix}`}`, async () => {
    const { openS3Store } = await import('./s3-store.ts');
    return openS3Store(
      { ...config, requestHandler: { ...CONNECTION, ...security(config, trust) } },
      { bucket, host: hostOf(config), prefix: prefix === '' ? '' : `${prefix}/` },
    );
  });
}

/** What https connections are checked with; a store on plain http is spared the 30 ms. */
function security({ endpoint }: S3ClientConfig, trust: Trust) {
  return typeof endpoint === 'string' && endpoint.startsWith('http:')
    ? {}
    : { httpsAgent: { secureContext: trusting(trust) } };
}

/** Whom an error names. */
function hostOf({ endpoint }: S3ClientConfig): string {
  return typeof endpoint === 'string' ? new URL(endpoint).host : 'amazonaws.com';
}

function directoryOf(parsed: URL, url: string): string {
  try {
    return resolve(fileURLToPath(parsed));
  } catch (cause) {
    throw new WorkerError(
      'CONFIG_INVALID',
      `no object store: ${JSON.stringify(url.slice(0, 200))}: no path`,
      {},
      { cause },
    );
  }
}

function clientConfig(env: Environment): S3ClientConfig {
  const endpoint = env['AWS_ENDPOINT_URL_S3'] || env['AWS_ENDPOINT_URL'] || undefined;
  if (endpoint !== undefined && !URL.canParse(endpoint))
    throw new WorkerError('CONFIG_INVALID', 'AWS_ENDPOINT_URL is no address');
  const region = env['AWS_REGION'] || env['AWS_DEFAULT_REGION'] || (endpoint === undefined ? undefined : 'us-east-1');
  const [accessKeyId, secretAccessKey, sessionToken] = [
    env['AWS_ACCESS_KEY_ID'],
    env['AWS_SECRET_ACCESS_KEY'],
    env['AWS_SESSION_TOKEN'],
  ];
  // Without keys in the environment the SDK looks where AWS tools look: profiles, web identity, the machine's role.
  const keys =
    accessKeyId && secretAccessKey
      ? { credentials: { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) } }
      : {};
  return {
    ...(endpoint === undefined
      ? {}
      : { endpoint, forcePathStyle: !new URL(endpoint).hostname.endsWith('.amazonaws.com') }),
    ...(region === undefined ? {} : { region }),
    ...keys,
    maxAttempts: ATTEMPTS,
  };
}

function invalid(url: string, why: string): WorkerError {
  return new WorkerError('CONFIG_INVALID', `no object store: ${JSON.stringify(url.slice(0, 200))}: ${why}`);
}
