/** What a caller can do about a failure; the edges map this and nothing else (exit codes, gRPC status). */
export type Category =
  | 'invalid'
  | 'not_found'
  | 'conflict'
  | 'denied'
  | 'unauthenticated'
  | 'exhausted'
  | 'unavailable'
  | 'deadline'
  | 'canceled'
  | 'data_loss'
  | 'unimplemented'
  | 'internal';

interface ErrorCodeEntry {
  readonly category: Category;
  readonly retryable: boolean;
  /** One sentence for docs/errors.md: what happened, and what to do. */
  readonly help: string;
}

/** Every code the project can report, from TypeScript or from a native tool. docs/errors.md is generated from it. */
export const ERROR_CODES = {
  // the person's input
  USAGE: {
    category: 'invalid',
    retryable: false,
    help: 'The command line is wrong; the message names the flag. See `clipyard <command> --help`.',
  },
  CONFIG_INVALID: {
    category: 'invalid',
    retryable: false,
    help: 'A setting has a value that cannot be used; the message names it.',
  },
  WORKSPACE_ID_INVALID: {
    category: 'invalid',
    retryable: false,
    help: 'A workspace id is `[A-Za-z0-9_][A-Za-z0-9._-]{0,62}` and neither `.` nor `..`.',
  },
  IMAGE_ID_INVALID: {
    category: 'invalid',
    retryable: false,
    help: 'An image id is `[A-Za-z0-9_.]{1,64}` (no `-`) and neither `.` nor `..`.',
  },
  REFERENCE_INVALID: {
    category: 'invalid',
    retryable: false,
    help: 'The image reference is not `registry/repository[:tag][@digest]`.',
  },
  DIGEST_INVALID: {
    category: 'invalid',
    retryable: false,
    help: 'A digest is `sha256:` and 64 lower-case hex characters.',
  },
  PATH_NOT_FOUND: {
    category: 'not_found',
    retryable: false,
    help: 'The file or folder that was named does not exist.',
  },
  PATH_DENIED: {
    category: 'denied',
    retryable: false,
    help: 'The user may not read or write the file or folder that the message names.',
  },
  NOT_A_REGULAR_FILE: {
    category: 'invalid',
    retryable: false,
    help: 'The path names something else than a regular file.',
  },
  OUTPUT_EXISTS: {
    category: 'conflict',
    retryable: false,
    help: 'The output is there already and is something else; remove it or name another.',
  },

  // building
  CONTEXT_NOT_FOUND: { category: 'not_found', retryable: false, help: 'The build context is no folder.' },
  CONTEXT_PATH_OUTSIDE: { category: 'invalid', retryable: false, help: 'A path points outside the build context.' },
  CONTEXT_CHANGED: {
    category: 'conflict',
    retryable: true,
    help: 'A file of the context changed while it was sent; build again.',
  },
  DOCKERFILE_NOT_FOUND: {
    category: 'not_found',
    retryable: false,
    help: 'There is no Dockerfile at the path; name one with `--file`.',
  },
  DOCKERFILE_INVALID: {
    category: 'invalid',
    retryable: false,
    help: 'The Dockerfile cannot be read; the message shows the lines.',
  },
  BUILD_STEP_FAILED: {
    category: 'invalid',
    retryable: false,
    help: 'A step of the build ended with an error; the message shows the step, its exit code and its last lines.',
  },
  BUILD_SOURCE_FAILED: {
    category: 'not_found',
    retryable: false,
    help: 'A base image or another source could not be resolved.',
  },
  BUILD_FAILED: {
    category: 'internal',
    retryable: false,
    help: 'BuildKit failed for a reason outside the Dockerfile.',
  },
  SECRET_NOT_FOUND: {
    category: 'not_found',
    retryable: false,
    help: 'A secret that the build needs was not given or its file is missing; use `--secret id=…,src=…`.',
  },
  BUILDKIT_UNAVAILABLE: {
    category: 'unavailable',
    retryable: true,
    help: 'No buildkitd answers at the address; start it with `scripts/services.sh start` or give `--buildkit`.',
  },
  BUILDKIT_SESSION_LOST: {
    category: 'unavailable',
    retryable: true,
    help: 'The session with buildkitd broke; the build was cancelled and can be run again.',
  },
  BUILDKIT_INTERRUPTED: {
    category: 'unavailable',
    retryable: true,
    help: 'The daemon met the snapshot of one that was killed, and removed it as it failed; run the build again.',
  },
  BUILDKIT_PROTOCOL: {
    category: 'internal',
    retryable: false,
    help: 'An answer of buildkitd was unexpected; the message says what.',
  },

  // builds as a service
  REQUEST_INVALID: {
    category: 'invalid',
    retryable: false,
    help: 'A call to a worker has a field that cannot be used, or the worker does not know the call; the message says which.',
  },
  SPEC_INVALID: {
    category: 'invalid',
    retryable: false,
    help: 'The submitted build has a field that cannot be used; the message names it.',
  },
  CONTEXT_INVALID: {
    category: 'invalid',
    retryable: false,
    help: 'The submitted context is no tar that may be unpacked; the message says why.',
  },
  UPLOAD_NOT_FOUND: {
    category: 'not_found',
    retryable: false,
    help: 'No context with this digest was uploaded by the workspace, or it was cleared away; upload it again.',
  },
  GIT_FAILED: {
    category: 'invalid',
    retryable: false,
    help: 'The git source could not be read; the message says what git said.',
  },
  FRONTEND_DENIED: {
    category: 'denied',
    retryable: false,
    help: 'The Dockerfile asks for a frontend (`# syntax=`) that the worker does not allow by digest.',
  },
  SOURCE_DENIED: {
    category: 'denied',
    retryable: false,
    help: "The worker's policy does not allow this base image, address, network or repository.",
  },
  BUILD_NOT_FOUND: {
    category: 'not_found',
    retryable: false,
    help: 'The workspace has no build with this id, or it ended so long ago that it was forgotten.',
  },
  BUILD_CANCELED: { category: 'canceled', retryable: false, help: 'Everybody who wanted the build has canceled it.' },
  LEASE_LOST: {
    category: 'conflict',
    retryable: true,
    help: 'The worker did not renew its claim in time and another has the build now; nothing is to be done.',
  },
  JOB_ABANDONED: {
    category: 'internal',
    retryable: false,
    help: 'Workers took the build several times and never came back with it; look at what it does to them.',
  },
  QUEUE_UNAVAILABLE: {
    category: 'unavailable',
    retryable: true,
    help: 'The queue does not answer; check its address and whether it runs.',
  },
  QUEUE_CORRUPT: {
    category: 'data_loss',
    retryable: false,
    help: 'What the queue holds cannot be read; the message says which record.',
  },
  WORKER_UNAVAILABLE: {
    category: 'unavailable',
    retryable: true,
    help: 'No worker answers at the address; start one with `clipyard worker` or give `--server`.',
  },
  WORKER_DRAINING: {
    category: 'unavailable',
    retryable: true,
    help: 'The worker is going away and takes no builds; ask another.',
  },
  WORKER_DISK_LOW: {
    category: 'unavailable',
    retryable: true,
    help: 'The disk of the worker is nearly full (`disk.keepFree`): it takes no uploads until there is room; wait or ask another.',
  },
  WORKER_UNAUTHENTICATED: {
    category: 'unauthenticated',
    retryable: false,
    help: 'The call has no token or one that the worker does not know; set CLIPYARD_TOKEN.',
  },
  WORKER_DENIED: {
    category: 'denied',
    retryable: false,
    help: 'The token does not allow this call; the message says what it lacks.',
  },

  // releases and tags
  TAG_RULE_INVALID: {
    category: 'invalid',
    retryable: false,
    help: 'A rule, flavor, image or label of a tag calculation is wrong; each line names one with its place. No tag was made.',
  },
  TAG_INVALID: {
    category: 'invalid',
    retryable: false,
    help: 'A calculated tag breaks the grammar of registries; nothing is cut, no tag was made. Change prefix, suffix or value.',
  },
  TAG_CONTEXT_INVALID: {
    category: 'invalid',
    retryable: false,
    help: 'The context of a tag calculation cannot be read; give `--context FILE`, or run it in a GitHub Actions job.',
  },
  RELEASE_TAG_INVALID: {
    category: 'invalid',
    retryable: false,
    help: 'A tag is asked to move that is no moving tag (`latest`, `1`, `1.2`, a variant), or a version is no tag.',
  },
  RELEASE_NAME_INVALID: {
    category: 'invalid',
    retryable: false,
    help: 'App, domain, owner and registry make no repository name (`registry/owner/domain-app`, lower case); the message says which part.',
  },
  RELEASE_PLAN_INVALID: {
    category: 'invalid',
    retryable: false,
    help: 'The file is no release plan or record, or of a newer version; make the plan again.',
  },
  RELEASE_PLAN_STALE: {
    category: 'conflict',
    retryable: false,
    help: 'A tag is no longer what it was when the plan was made, or the guards decide otherwise now. Nothing was written; plan again.',
  },
  RELEASE_INCOMPLETE: {
    category: 'unavailable',
    retryable: true,
    help: 'Some tags of a release are written and others could not be; the same command again writes the missing ones.',
  },

  // variants
  MATRIX_INVALID: {
    category: 'invalid',
    retryable: false,
    help: 'The configuration of a matrix is wrong, or two of its tags would be one; each line names one problem. Nothing was built.',
  },
  MATRIX_MISMATCH: {
    category: 'conflict',
    retryable: false,
    help: 'A tag of a matrix does not name the image it should, or that image lacks a platform; each line names one tag.',
  },

  SCAN_FINDINGS: {
    category: 'denied',
    retryable: false,
    help: 'A scan found something as grave as `--fail-on` says, or graver; no tag was written. The message lists it.',
  },
  SCAN_TOOL_MISSING: {
    category: 'not_found',
    retryable: false,
    help: 'A scan must use syft or trivy, by a flag or a setting, and the program is not there. Install it, or say `auto` or `never`.',
  },
  SCAN_TOOL_FAILED: {
    category: 'unavailable',
    retryable: false,
    help: 'A program that scans, syft or trivy, failed, took too long, or wrote something that cannot be used; the message holds its last line. No tag was written.',
  },
  ADVISORIES_INVALID: {
    category: 'invalid',
    retryable: false,
    help: 'The advisories are no records of the OSV format; the message says which one.',
  },

  // services
  SERVICES_FILE_INVALID: {
    category: 'invalid',
    retryable: false,
    help: 'The services file cannot be used; the message names the place. docs/services.md shows one.',
  },
  SERVICE_UNKNOWN: {
    category: 'not_found',
    retryable: false,
    help: 'The services file has no service of that name; the message lists those it has.',
  },
  TERMINAL_REQUIRED: {
    category: 'denied',
    retryable: false,
    help: 'Deleting images is confirmed by a person at a terminal; look at what would go with `--dry-run`.',
  },
  NOT_CONFIRMED: {
    category: 'canceled',
    retryable: false,
    help: 'The words that confirm a deletion were not typed; nothing was deleted.',
  },
  GITHUB_TOKEN_INVALID: {
    category: 'unauthenticated',
    retryable: false,
    help: 'There is no GitHub token, or it is none by its form; set GITHUB_TOKEN to one that may write, read and delete packages.',
  },

  // OCI content
  LAYOUT_INVALID: { category: 'invalid', retryable: false, help: 'The folder is no valid OCI layout.' },
  LAYOUT_LOCKED: { category: 'conflict', retryable: true, help: 'Another process writes to the layout.' },
  LAYOUT_NOT_FOUND: {
    category: 'not_found',
    retryable: false,
    help: 'The folder holds no OCI layout or the name is not in its index.',
  },
  MANIFEST_INVALID: {
    category: 'invalid',
    retryable: false,
    help: 'A manifest or image configuration breaks the image-spec.',
  },
  MEDIA_TYPE_UNSUPPORTED: {
    category: 'invalid',
    retryable: false,
    help: 'The media type is none that can be indexed.',
  },
  ATTESTATION_SIGNED: {
    category: 'invalid',
    retryable: false,
    help: 'A signed attestation names the manifest before packing and cannot be rewritten; leave it out, or keep the layers with `--compression none`.',
  },
  PLATFORM_NOT_FOUND: { category: 'not_found', retryable: false, help: 'The image has no manifest for the platform.' },
  BLOB_MISMATCH: {
    category: 'data_loss',
    retryable: false,
    help: 'Bytes do not have the digest or size they should have.',
  },
  BLOB_MISSING: { category: 'not_found', retryable: false, help: 'A blob that a manifest names is not there.' },

  // layers
  LAYER_TRUNCATED: {
    category: 'data_loss',
    retryable: false,
    help: 'The layer ends in the middle of an entry or of its compressed stream.',
  },
  LAYER_CORRUPT: {
    category: 'data_loss',
    retryable: false,
    help: 'The layer is no valid tar or its compressed stream is damaged.',
  },
  LAYER_PATH_INVALID: {
    category: 'invalid',
    retryable: false,
    help: 'An entry of the layer has a name that cannot be used (empty, NUL, too long).',
  },
  LAYER_INDEX_INVALID: {
    category: 'data_loss',
    retryable: true,
    help: 'A stored layer index is damaged or of another version; it is dropped and made again.',
  },
  DIFF_ID_MISMATCH: {
    category: 'data_loss',
    retryable: false,
    help: 'The uncompressed layer does not have the diffID that the image configuration names.',
  },
  LAYER_NOT_FOUND: {
    category: 'not_found',
    retryable: false,
    help: 'The registry no longer has a layer of the archive; push it again or give `--storage-ref` where it is now.',
  },
  LIMIT_EXCEEDED: {
    category: 'exhausted',
    retryable: false,
    help: 'The input is larger than a limit allows; the message names limit and value. Limits of layers can be raised with `--limit` or a CLIPYARD_LIMIT_… variable (docs/configuration.md).',
  },

  // archives
  ARCHIVE_NOT_CLIP: { category: 'invalid', retryable: false, help: 'The file is no CLIP archive.' },
  ARCHIVE_TRUNCATED: { category: 'data_loss', retryable: false, help: 'The archive ends too early; fetch it again.' },
  ARCHIVE_CORRUPT: {
    category: 'data_loss',
    retryable: false,
    help: 'The archive is damaged: a digest, a length or the padding is wrong; fetch it again.',
  },
  FORMAT_TOO_NEW: {
    category: 'unimplemented',
    retryable: false,
    help: 'The archive was made by a newer version; upgrade.',
  },
  ARCHIVE_NOT_LAZY: {
    category: 'unimplemented',
    retryable: false,
    help: 'The archive has no sections to mount from; make it again with `clipyard index`.',
  },
  TRACE_INVALID: {
    category: 'data_loss',
    retryable: false,
    help: 'The file is no trace and no profile of a mount, or it is cut off or damaged; record it again with `--trace`.',
  },
  ARCHIVE_MISMATCH: {
    category: 'data_loss',
    retryable: false,
    help: 'The archive does not describe the layers it names.',
  },

  TREE_MISMATCH: {
    category: 'data_loss',
    retryable: false,
    help: 'The tree of the archive and the folder differ; the result lists where.',
  },

  // the network
  TLS_UNTRUSTED: {
    category: 'denied',
    retryable: false,
    help: 'The certificate of a server is self-signed, of an unknown authority, expired or for another name; the message says which. Name further authorities with CLIPYARD_CA_FILE.',
  },

  // registry
  REGISTRY_UNAVAILABLE: {
    category: 'unavailable',
    retryable: true,
    help: 'The registry cannot be reached or answers 5xx.',
  },
  REGISTRY_THROTTLED: {
    category: 'exhausted',
    retryable: true,
    help: 'The registry answered 429; it was obeyed for as long as the deadline allows.',
  },
  REGISTRY_STALLED: { category: 'deadline', retryable: true, help: 'The registry stopped sending or taking bytes.' },
  REGISTRY_UNAUTHENTICATED: {
    category: 'unauthenticated',
    retryable: false,
    help: 'The registry wants a login; put one into the docker config.',
  },
  REGISTRY_DENIED: { category: 'denied', retryable: false, help: 'The login may not do this at the registry.' },
  REGISTRY_NOT_FOUND: {
    category: 'not_found',
    retryable: false,
    help: 'The registry has no such repository, tag or digest.',
  },
  REGISTRY_REFUSED: {
    category: 'invalid',
    retryable: false,
    help: 'The registry refused the content; the message holds its answer.',
  },
  REGISTRY_PROTOCOL: {
    category: 'internal',
    retryable: false,
    help: 'The registry answered something outside the distribution-spec.',
  },
  REGISTRY_DELETE_UNSUPPORTED: {
    category: 'unimplemented',
    retryable: false,
    help: 'The registry refuses to delete by this API (Docker Hub and GHCR have APIs of their own), or not a tag alone. Nothing was deleted.',
  },
  REGISTRY_LIST_INCOMPLETE: {
    category: 'unavailable',
    retryable: false,
    help: 'The registry did not give a list to its end; a part is never taken for the whole.',
  },
  REGISTRY_RACE_LOST: {
    category: 'conflict',
    retryable: false,
    help: 'Another writer replaced what was just written; registries know no compare-and-swap. Look at the tag, then run again.',
  },
  REGISTRY_INSECURE: {
    category: 'denied',
    retryable: false,
    help: 'Plain http is only spoken to loopback addresses; use `--plain-http` to ask for it.',
  },

  // tags
  TAG_CHANGED: {
    category: 'conflict',
    retryable: false,
    help: 'The tag is not where the plan found it; nothing more was written. Plan again.',
  },
  REPOSITORY_LOCKED: {
    category: 'unavailable',
    retryable: true,
    help: 'Another process sets or deletes tags of the same repository: of this machine, or of another one that uses the same store.',
  },
  TAG_PERMANENT: {
    category: 'conflict',
    retryable: false,
    help: 'The tag names one image for ever and has another one; it is never moved.',
  },

  // retention
  INVENTORY_INCOMPLETE: {
    category: 'unavailable',
    retryable: true,
    help: 'A tag, manifest, referrer or configuration of the repository could not be read; the message names the first. Nothing was deleted; run again.',
  },
  RETENTION_PLAN_UNSAFE: {
    category: 'internal',
    retryable: false,
    help: 'What retention wanted to delete did not pass its second check; nothing was deleted. Please report it.',
  },
  RETENTION_STORE_UNRELATED: {
    category: 'invalid',
    retryable: false,
    help: 'A store names no manifest of the repository whose releases are to go: its bucket or prefix may be mistyped, and what runtimes mount would not be known. Nothing was deleted. Name the right `--store`, or say `--store-is-empty` (`store_is_empty=true` in a policy) where nothing of the repository was published there.',
  },
  PACKAGE_DELETE_REFUSED: {
    category: 'denied',
    retryable: false,
    help: "GitHub does not delete this package version: it is the last one with a tag, or has more than 5000 downloads; the message holds GitHub's words.",
  },

  // object store
  STORE_UNAVAILABLE: {
    category: 'unavailable',
    retryable: true,
    help: 'The object store cannot be reached or answers 5xx.',
  },
  STORE_BUCKET_NOT_FOUND: {
    category: 'not_found',
    retryable: false,
    help: 'The bucket does not exist; create it or name another with `--store`.',
  },
  STORE_DENIED: { category: 'denied', retryable: false, help: 'The keys may not do this in the bucket.' },
  STORE_OBJECT_NOT_FOUND: { category: 'not_found', retryable: false, help: 'The object is not in the store.' },
  STORE_CONFLICT: { category: 'conflict', retryable: true, help: 'Somebody else wrote the object in between.' },
  STORE_KEY_INVALID: {
    category: 'invalid',
    retryable: false,
    help: 'The name cannot be the key of an object: it is empty, too long, or has `..`, a backslash or a control character.',
  },
  STORE_RANGE_INVALID: {
    category: 'invalid',
    retryable: false,
    help: 'The range starts behind the end of the object.',
  },
  STORE_PROTOCOL: { category: 'internal', retryable: false, help: 'The object store answered something unexpected.' },
  FENCE_LOST: {
    category: 'conflict',
    retryable: false,
    help: 'A newer build of the same image was published in between; this one stops.',
  },

  // mount
  MOUNT_POINT_IN_USE: {
    category: 'conflict',
    retryable: false,
    help: 'Something is mounted there or the folder is not empty.',
  },
  MOUNT_POINT_INVALID: { category: 'invalid', retryable: false, help: 'The mount point is no folder.' },
  MOUNT_NOT_FOUND: { category: 'not_found', retryable: false, help: 'There is no mount of ours at the folder.' },
  MOUNT_FAILED: {
    category: 'internal',
    retryable: false,
    help: 'The kernel refused the mount; the message holds its reason.',
  },
  MOUNT_BUSY: { category: 'conflict', retryable: true, help: 'A process still uses the mount.' },
  MOUNT_DRAINING: {
    category: 'unavailable',
    retryable: true,
    help: 'The mount daemon takes no new mounts: it was told to drain.',
  },
  MOUNT_DAEMON_UNAVAILABLE: {
    category: 'unavailable',
    retryable: true,
    help: 'The mount daemon does not answer at its socket, or could not be started; its log says why.',
  },
  UPPER_IN_USE: {
    category: 'conflict',
    retryable: true,
    help: 'Another writable mount or container writes to the folder; end it or name another with `--rw`.',
  },
  OVERLAY_REFUSED: {
    category: 'invalid',
    retryable: false,
    help: 'The kernel cannot write the changes of an overlay there; put `--rw` on ext4, xfs or btrfs.',
  },
  FUSE_UNAVAILABLE: {
    category: 'denied',
    retryable: false,
    help: 'The machine has no usable /dev/fuse; load the module or run where it is.',
  },
  PRIVILEGE_REQUIRED: { category: 'denied', retryable: false, help: 'The engine needs root (CAP_SYS_ADMIN).' },
  CACHE_FILESYSTEM_UNSUPPORTED: {
    category: 'invalid',
    retryable: false,
    help: 'The kernel does not mount images from this filesystem; put `--cache` on ext4, xfs or btrfs.',
  },
  CACHE_CORRUPT: {
    category: 'data_loss',
    retryable: true,
    help: 'A cached file is damaged; it is dropped and fetched again.',
  },
  DISK_FULL: {
    category: 'exhausted',
    retryable: false,
    help: 'No space is left; free some and run again, finished work is kept.',
  },
  RUN_FAILED: { category: 'invalid', retryable: false, help: 'The command in the container could not be started.' },

  // the program itself
  NATIVE_TOOL_MISSING: {
    category: 'not_found',
    retryable: false,
    help: 'A native tool is not built; run `scripts/setup.sh`.',
  },
  NATIVE_TOOL_FAILED: { category: 'internal', retryable: false, help: 'A native tool ended without a result.' },
  BENCH_FAILED: {
    category: 'internal',
    retryable: false,
    help: 'A contender of a benchmark ended with an error; the message holds its last words.',
  },
  BENCH_IMAGE_UNSUITABLE: {
    category: 'invalid',
    retryable: false,
    help: 'The image cannot be built again from its layers, because one of them deletes what lies below; give another one, or flatten it first.',
  },
  CHARTS_UNAVAILABLE: {
    category: 'not_found',
    retryable: false,
    help: 'The optional packages that draw charts (vega, vega-lite) are not installed; the JSON result is there without them.',
  },
  CANCELED: { category: 'canceled', retryable: false, help: 'The work was cancelled.' },
  DEADLINE_EXCEEDED: { category: 'deadline', retryable: true, help: 'The work took longer than its deadline.' },
  FILESYSTEM_READ_ONLY: {
    category: 'invalid',
    retryable: false,
    help: 'A folder that must be written to is read-only; name another one (`--cache` for a mount).',
  },
  IO_FAILED: {
    category: 'internal',
    retryable: false,
    help: 'Reading or writing a file failed; the message names it.',
  },
  INTERNAL: {
    category: 'internal',
    retryable: false,
    help: 'A defect in the program; please report it with the message.',
  },
} as const satisfies Record<string, ErrorCodeEntry>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** Whether a text (from a native tool's event) names one of our codes. */
export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERROR_CODES, text);
}
