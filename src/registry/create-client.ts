import { type Log, silentLog } from '../telemetry/index.ts';
import type { Trust } from '../tls/index.ts';
import { createAuthorizer } from './auth/authorizer.ts';
import { type CredentialSource, NO_CREDENTIALS } from './auth/credential.ts';
import { fetchToken } from './auth/token-service.ts';
import { getBlobStream, headBlob } from './blobs.ts';
import type { RegistryClient } from './client.ts';
import { type Clock, SYSTEM_CLOCK } from './clock.ts';
import type { PlainHttp } from './endpoint.ts';
import { DEFAULT_LIMITS, type RegistryLimits } from './limits.ts';
import { deleteManifest, getManifest, headManifest, putManifest, putManifestTags } from './manifests.ts';
import { manifestNameOf } from './reference.ts';
import { listReferrers, pushReferrer } from './referrers.ts';
import { listTags } from './tags.ts';
import { Transport } from './transport.ts';
import { pushBlob, pushGrowing } from './upload.ts';
import { dropUpload } from './upload-session.ts';
import { createWire } from './wire.ts';

export interface RegistryClientOptions {
  readonly credentials?: CredentialSource;
  /** Loopback always may; `true` or a list of `host[:port]` asks for more. */
  readonly plainHttp?: PlainHttp;
  /** Whose certificates are believed beside those that Node knows; default: the system's. */
  readonly trust?: Trust;
  readonly log?: Log;
  readonly clock?: Clock;
  readonly limits?: Partial<RegistryLimits>;
}

/** Puts the parts of the client together. Dispose of it to close its connections. */
export function createRegistryClient(options: RegistryClientOptions = {}): RegistryClient {
  const { credentials = NO_CREDENTIALS, plainHttp = false, log = silentLog(), clock = SYSTEM_CLOCK } = options;
  const limits: RegistryLimits = { ...DEFAULT_LIMITS, ...options.limits };
  const wire = createWire({ limits, log, trust: options.trust ?? {} });
  const authorizer = createAuthorizer({
    credentials,
    clock,
    fetchToken: (request) => fetchToken({ wire, clock, plainHttp }, request),
  });
  const transport = new Transport({ wire, authorizer, limits, clock, log, plainHttp });
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const mine = last.then(work, work);
    last = mine;
    return mine;
  };
  return {
    async ping(registry, { signal }) {
      const url = new URL('/v2/', transport.baseOf(registry));
      const response = await transport.sendRetrying({
        method: 'GET',
        registry,
        url,
        scopes: [],
        expect: [200],
        signal,
      });
      await response.discard();
    },
    headBlob: (repository, digest, { signal }) => headBlob(transport, repository, digest, { signal }),
    getBlobStream: (repository, digest, fetching) => getBlobStream(transport, repository, digest, fetching),
    pushBlob: (repository, blob, pushing) => pushBlob(transport, repository, blob, pushing),
    pushGrowing: (repository, blob, following) => pushGrowing(transport, repository, blob, following),
    dropUpload: (repository, uploadUrl) => dropUpload(transport, repository, uploadUrl),
    headManifest: (repository, name, { signal }) => headManifest(transport, repository, name, { signal }),
    getManifest: (repository, name, { signal }) => getManifest(transport, repository, name, { signal }),
    putManifest: (repository, name, bytes, mediaType, { signal }) =>
      putManifest(transport, repository, name, bytes, mediaType, { signal }),
    putManifestTags: (repository, bytes, mediaType, putting) =>
      putManifestTags(transport, repository, bytes, mediaType, putting),
    deleteManifest: (repository, name, { signal }) => deleteManifest(transport, repository, name, { signal }),
    listReferrers: (repository, subject, listing) => listReferrers(transport, repository, subject, listing),
    // One after the other: between processes the list is read back, here nobody need come in between.
    pushReferrer: (repository, bytes, mediaType, { signal }) =>
      inTurn(() => pushReferrer(transport, repository, bytes, mediaType, { signal })),
    listTags: (repository, listing) => listTags(transport, repository, listing),
    resolve: (reference, { signal }) => getManifest(transport, reference, manifestNameOf(reference), { signal }),
    [Symbol.asyncDispose]: () => wire[Symbol.asyncDispose](),
  };
}
