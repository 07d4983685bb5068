export { type Credential, type CredentialSource, NO_CREDENTIALS } from './auth/credential.ts';
export type { BlobRange, BlobSource, FetchedManifest, PushOptions, PushOutcome, RegistryClient } from './client.ts';
export { DEFAULT_LIMITS, type RegistryLimits } from './limits.ts';
export { formatReference, manifestNameOf, parseReference, type Reference, type Repository } from './reference.ts';
