export { type Credential, type CredentialSource, NO_CREDENTIALS } from './auth/credential.ts';
export { loadCredentials } from './auth/docker-config.ts';
export type {
  BlobRange,
  BlobSource,
  DeleteOutcome,
  FetchedManifest,
  FollowedBlob,
  FollowOptions,
  PushOptions,
  PushOutcome,
  RegistryClient,
  UploadOptions,
} from './client.ts';
export type { Clock } from './clock.ts';
export { createRegistryClient, type RegistryClientOptions } from './create-client.ts';
export { endpointOf, isLoopback, type PlainHttp } from './endpoint.ts';
export { GrowingBlob } from './growing-blob.ts';
export { DEFAULT_LIMITS, type RegistryLimits } from './limits.ts';
export {
  formatReference,
  isTag,
  manifestNameOf,
  parseReference,
  type Reference,
  type Repository,
} from './reference.ts';
export { fallbackTagOf } from './referrers-tag.ts';
