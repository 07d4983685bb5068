import { messageOf, systemCodeOf, WorkerError } from '../errors/index.ts';

const AUTHORITY =
  'name the PEM file of its authority with CLIPYARD_CA_FILE (--ca-file of commands that call a worker), or add that one to the authorities of the system';
const NAME = 'address the server by a name that is in its certificate, or give it one for this name';
const TIME = 'renew the certificate of the server, or set the clock of this machine right';
const SERVER = 'give the server another certificate';

/** What the verification of a certificate ends with (OpenSSL, X509_STORE_CTX_get_error; Node, tls), and what helps. */
const FAULTS: Readonly<Record<string, readonly [fault: string, help: string]>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: ['signed by itself', AUTHORITY],
  SELF_SIGNED_CERT_IN_CHAIN: ['of an authority that is not trusted', AUTHORITY],
  UNABLE_TO_GET_ISSUER_CERT: ['of an unknown authority', AUTHORITY],
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: ['of an unknown authority', AUTHORITY],
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: ['of an unknown authority', AUTHORITY],
  CERT_UNTRUSTED: ['of an authority that is not trusted', AUTHORITY],
  ERR_TLS_CERT_ALTNAME_INVALID: ['for another name', NAME],
  HOSTNAME_MISMATCH: ['for another name', NAME],
  CERT_HAS_EXPIRED: ['expired', TIME],
  CERT_NOT_YET_VALID: ['not valid yet', TIME],
  CERT_REVOKED: ['revoked', SERVER],
  CERT_REJECTED: ['rejected', SERVER],
  CERT_SIGNATURE_FAILURE: ['wrongly signed', SERVER],
  CERT_CHAIN_TOO_LONG: ['at the end of too long a chain', SERVER],
  PATH_LENGTH_EXCEEDED: ['at the end of too long a chain', SERVER],
  INVALID_CA: ['signed by one that is no authority', SERVER],
  INVALID_PURPOSE: ['not one of a server', SERVER],
};

/**
 * TLS_UNTRUSTED for an error that a wrong certificate of `host` causes, else undefined. `doing` names what was tried.
 */
export function untrustedError(thrown: unknown, doing: string, host: string): WorkerError | undefined {
  const systemCode = systemCodeOf(thrown);
  if (systemCode === undefined || !Object.hasOwn(FAULTS, systemCode)) return undefined;
  return untrusted(systemCode, messageOf(thrown), doing, host, thrown);
}

/** The texts of OpenSSL (X509_verify_cert_error_string) and Node for these; one that begins like another goes before it. */
const TEXTS: Readonly<Record<string, string>> = {
  'self-signed certificate in certificate chain': 'SELF_SIGNED_CERT_IN_CHAIN',
  'self-signed certificate': 'DEPTH_ZERO_SELF_SIGNED_CERT',
  'unable to get issuer certificate': 'UNABLE_TO_GET_ISSUER_CERT',
  'unable to get local issuer certificate': 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'unable to verify the first certificate': 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'certificate not trusted': 'CERT_UNTRUSTED',
  "does not match certificate's altnames": 'ERR_TLS_CERT_ALTNAME_INVALID',
  'certificate has expired': 'CERT_HAS_EXPIRED',
  'certificate is not yet valid': 'CERT_NOT_YET_VALID',
  'certificate revoked': 'CERT_REVOKED',
  'certificate signature failure': 'CERT_SIGNATURE_FAILURE',
};

/** `untrustedError` where only a text is left of the cause, somewhere in another. */
export function untrustedText(text: string, doing: string, host: string): WorkerError | undefined {
  const found = Object.entries(TEXTS).find(([each]) => text.includes(each));
  return found === undefined ? undefined : untrusted(found[1], found[0], doing, host, text);
}

function untrusted(systemCode: string, said: string, doing: string, host: string, cause: unknown): WorkerError {
  const [fault, help] = FAULTS[systemCode] ?? [];
  return new WorkerError(
    'TLS_UNTRUSTED',
    `${doing}: the certificate of ${host} is ${fault ?? ''} (${said}); ${help ?? ''}`,
    { host, systemCode },
    { cause },
  );
}
