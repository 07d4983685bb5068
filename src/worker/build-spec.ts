import { z } from 'zod';
import { WorkerError } from '../errors/index.ts';

const names = z.record(z.string().max(256), z.string().max(64 * 1024));
const texts = z.array(z.string().max(4096)).max(256);

const contextSource = z.discriminatedUnion('type', [
  /** What UploadContext stored, by its digest. */
  z.strictObject({ type: z.literal('uploaded'), digest: z.string().regex(/^sha256:[0-9a-f]{64}$/) }),
  /** A tar in the store, below `contexts/<workspace>/`. */
  z.strictObject({
    type: z.literal('object'),
    key: z.string().min(1).max(1024),
    /** Of the object when the build was submitted. */
    etag: z.string().max(256).optional(),
  }),
  /** `commit` is resolved before the build is queued. */
  z.strictObject({
    type: z.literal('git'),
    url: z.string().min(1).max(4096),
    ref: z.string().max(1024).optional(),
    subdirectory: z.string().max(4096).optional(),
    commit: z
      .string()
      .regex(/^[0-9a-f]{40,64}$/)
      .optional(),
  }),
  /** A Dockerfile and an empty context. */
  z.strictObject({ type: z.literal('inline'), dockerfile: z.string().max(8 * 1024 * 1024) }),
]);

/** Values are sealed by the worker that takes the submission (`sealed`, base64) and never part of a key, a log or an event. */
const secret = z.strictObject({
  id: z.string().min(1).max(256),
  version: z.string().max(256),
  sealed: z.base64(),
});

const buildSpec = z.strictObject({
  imageId: z.string(),
  context: contextSource,
  /** Path in the context; undefined: `Dockerfile`. */
  dockerfile: z.string().max(4096).optional(),
  target: z.string().max(256).optional(),
  platforms: z.array(z.string().max(64)).max(16).default([]),
  buildArgs: names.default({}),
  labels: names.default({}),
  /** `docker-image://…`, `https://…` or `uploaded:sha256:…`. */
  namedContexts: names.default({}),
  secrets: z.array(secret).max(64).default([]),
  ssh: texts.default([]),
  network: z.enum(['default', 'none', 'host']).default('default'),
  noCache: z.boolean().default(false),
  cacheFrom: texts.default([]),
  cacheTo: texts.default([]),
  attest: texts.default([]),
  compression: z.enum(['zstd', 'gzip', 'none', 'auto']).default('zstd'),
  level: z.int().min(1).max(19).optional(),
  chunkBytes: z.int().optional(),
  archiveFormat: z.enum(['clipyard', 'v1']).default('clipyard'),
  alsoAs: z.string().max(256).optional(),
  /** `host/repository`; undefined: the worker's. */
  repository: z.string().max(512).optional(),
  hermetic: z.boolean().default(true),
  /** Base references with the digests they had when the build was submitted; BuildKit is held to them. */
  pinned: names.default({}),
});

export type ContextSpec = z.infer<typeof contextSource>;
export type SecretSpec = z.infer<typeof secret>;

/** What to build, as it stands in a queue: plain JSON that other workers and later versions read. */
export type BuildSpec = Readonly<z.infer<typeof buildSpec>>;

/** Reads a spec from the outside or from a queue. Throws SPEC_INVALID, which names the field. */
export function parseBuildSpec(value: unknown): BuildSpec {
  const parsed = buildSpec.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const field = issue?.path.join('.') ?? '';
  throw new WorkerError('SPEC_INVALID', `the build's ${field === '' ? 'spec' : field}: ${issue?.message ?? 'wrong'}`, {
    field,
  });
}
