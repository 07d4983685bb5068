import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { messageOf, WorkerError } from '../errors/index.ts';

/** Where distributions keep the system's authorities, in one PEM file (Debian, Fedora, SUSE, Alpine). */
const SYSTEM_BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The certificates of a PEM file, to trust beside the system's. Throws CONFIG_INVALID. */
export function readAuthorities(path: string): string {
  const certificates = textOf(path).match(CERTIFICATE) ?? [];
  if (certificates.length === 0) throw unusable(path, 'it holds no PEM certificate');
  for (const certificate of certificates) {
    try {
      new X509Certificate(certificate);
    } catch (thrown) {
      throw unusable(path, `a certificate in it cannot be read: ${messageOf(thrown)}`, thrown);
    }
  }
  return certificates.join('\n');
}

/** Whom to trust beside those that Node knows. */
export interface Trust {
  /** Stands for the system's authorities, as `SSL_CERT_FILE` does for OpenSSL; default: the distribution's file. */
  readonly systemFile?: string | undefined;
  /** Further ones, PEM. */
  readonly further?: string | undefined;
  /** What is shown to servers that ask who calls, PEM. */
  readonly identity?: { readonly cert: string; readonly key: string } | undefined;
}

/** What TLS connections are checked with. It costs some 30 ms: make it once, and when the first one is opened. */
export function trusting({ systemFile, further, identity }: Trust): SecureContext {
  const system = systemFile === undefined ? SYSTEM_BUNDLES : [systemFile];
  // `getCACertificates('system')` would parse every file of a folder: 120 ms instead of 10.
  const found = system.map(textIfThere).find((text) => text !== undefined);
  return createSecureContext({
    ...identity,
    ca: [...getCACertificates('default'), ...[found, further].filter((pem) => pem !== undefined)],
  });
}

function textIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (thrown) {
    throw unusable(path, messageOf(thrown), thrown);
  }
}

function unusable(path: string, why: string, cause?: unknown): WorkerError {
  return new WorkerError('CONFIG_INVALID', `CLIPYARD_CA_FILE ${path}: ${why}`, { path }, { cause });
}
