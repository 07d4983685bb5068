/** The name of an entry of `index.json` (OCI image-spec 1.1, annotations.md). */
export const REF_NAME_ANNOTATION = 'org.opencontainers.image.ref.name';

/**
 * Value `registry` on a descriptor: its blob (on an entry of `index.json`: the layers below it) may be absent from the layout,
 * because the registry has it.
 */
export const ABSENT_ANNOTATION = 'dev.clipyard.blob.absent';

/** What BuildKit puts on the manifests of an index that describe another one. */
export const ATTESTATION_TYPE_ANNOTATION = 'vnd.docker.reference.type';
/** Which one. */
export const ATTESTATION_SUBJECT_ANNOTATION = 'vnd.docker.reference.digest';
