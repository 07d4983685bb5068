import { messageOf, systemCodeOf, WorkerError } from '../errors/index.ts';

const AUTHORITY =
  'set CLIPYARD_CA_FILE to the PEM file of its authority, or add that one to the authorities of the system';
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
  const [fault, help] = FAULTS[systemCode] ?? [];
  return new WorkerError(
    'TLS_UNTRUSTED',
    `${doing}: the certificate of ${host} is ${fault ?? ''} (${messageOf(thrown)}); ${help ?? ''}`,
    { host, systemCode },
    { cause: thrown },
  );
}
