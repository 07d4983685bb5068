import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { sizeOf } from '../../config/index.ts';
import { messageOf, toWorkerError, WorkerError } from '../../errors/index.ts';

const size = z.string().refine((text) => sizeOf(text) !== undefined, 'no size: write 20GB or 512MiB');
const seconds = z.number().positive();

/**
 * The file of `clipyard worker --config`. Each description is a row of docs/operations.md ("Configuration"), which is checked
 * against this schema. Sizes are texts like `20GB`, times are seconds.
 */
export const WorkerConfigSchema = z.strictObject({
  concurrency: z.int().min(1).max(256).default(2).describe('Builds that run at once (`--concurrency`).'),
  drainBudgetSeconds: seconds
    .default(300)
    .describe('How long a worker that goes away waits for its builds before it hands them back (`--drain-budget`).'),
  heartbeatSeconds: seconds.default(5).describe('How often the worker looks at disk, buildkitd and silent workers.'),
  limits: z
    .strictObject({
      buildSeconds: seconds.default(7200).describe('One attempt of a build, all phases together.'),
      preparingSeconds: seconds.default(900).describe('Fetching and unpacking the context.'),
      buildingSeconds: seconds.default(7200).describe('The steps of the Dockerfile.'),
      landingSeconds: seconds.default(1800).describe('Bringing the image over from BuildKit.'),
      packingSeconds: seconds.default(1800).describe('Compressing and indexing new layers.'),
      pushingSeconds: seconds.default(3600).describe('Sending blobs to the registry.'),
      archivingSeconds: seconds.default(900).describe('Assembling the archives.'),
      publishingSeconds: seconds.default(900).describe('Manifests, archives, pointer and tag.'),
      imageBytes: size.default('64GB').describe('All layers of an image as BuildKit gives them.'),
      layers: z.int().min(1).default(256).describe('Distinct layers of a build.'),
      logBytes: size
        .default('1GB')
        .describe('Output of the steps of an attempt that the store keeps; the rest is cut.'),
      liveLogBytes: size.default('4MiB').describe('Output of the steps of an attempt that watchers see live.'),
    })
    .prefault({}),
  intake: z
    .strictObject({
      uploadBytes: size.default('4GiB').describe('A context as it comes.'),
      contextBytes: size.default('16GiB').describe('All files of a context, unpacked.'),
      entries: z.int().min(1).default(500_000).describe('Files, folders and links of a context.'),
      depth: z.int().min(1).default(256).describe('Names in one path of a context.'),
      gitSeconds: seconds.default(600).describe('One call of git.'),
      keepSeconds: seconds.default(86_400).describe('Uploaded contexts that no build waits for stay this long.'),
    })
    .prefault({}),
  retry: z
    .strictObject({
      maxAttempts: z.int().min(1).max(100).default(5).describe('How often a build is tried in all.'),
      maxDelaySeconds: seconds.default(120).describe('The longest pause between two attempts.'),
    })
    .prefault({}),
  queue: z
    .strictObject({
      leaseSeconds: seconds.default(30).describe('A worker that was silent for this long has lost its builds.'),
      weights: z
        .record(z.string(), z.number().positive())
        .default({})
        .describe('Turns a workspace gets, by its id; 1 unless named.'),
      maxRunningPerWorkspace: z
        .int()
        .min(1)
        .default(8)
        .describe('Builds of one workspace that run at once, on all workers.'),
      warmWaitSeconds: z
        .number()
        .min(0)
        .default(2)
        .describe('How long a build is left to a worker that has its base layers.'),
      keepDays: z
        .number()
        .positive()
        .default(14)
        .describe('Builds that ended longer ago are forgotten, with events and journal.'),
    })
    .prefault({}),
  disk: z
    .strictObject({
      keepFree: size.default('5GB').describe('With less free where builds land, the worker takes nothing.'),
      landings: size.default('20GB').describe('Landing layouts together; the longest unused is emptied first.'),
    })
    .prefault({}),
  buildkit: z
    .strictObject({
      keepBytes: size.optional().describe("BuildKit's cache is pruned to this; absent: the daemon's own policy alone."),
      keepSeconds: z.number().min(0).default(3600).describe('What was used within this is not pruned.'),
    })
    .prefault({}),
  upkeepSeconds: seconds.default(600).describe('How often caches, landing layouts and old builds are looked through.'),
  policy: z.record(z.string(), z.json()).optional().describe('What builds may do: docs/operations.md, "Policy".'),
  tls: z
    .strictObject({
      cert: z.string().describe('PEM file of the certificate of the API.'),
      key: z.string().describe('PEM file of its key.'),
      clientCa: z.string().optional().describe('PEM file of authorities: callers then need a certificate by them.'),
    })
    .optional(),
  tokensFile: z.string().optional().describe('Who may call and for which workspace: docs/api.md, "Tokens".'),
});

export type WorkerConfig = Readonly<z.infer<typeof WorkerConfigSchema>>;

/** Throws CONFIG_INVALID with the field's name. */
export function parseWorkerConfig(value: unknown, name: string): WorkerConfig {
  const parsed = WorkerConfigSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const field = issue?.path.join('.') ?? '';
  throw new WorkerError(
    'CONFIG_INVALID',
    `${name}: ${field === '' ? '' : `${field}: `}${issue?.message ?? 'not valid'}`,
    {
      field,
    },
  );
}

/** Without a file, every default. Throws CONFIG_INVALID, PATH_NOT_FOUND. */
export async function readWorkerConfig(path: string | undefined): Promise<WorkerConfig> {
  if (path === undefined) return parseWorkerConfig({}, 'worker configuration');
  const text = await readFile(path, 'utf8').catch((thrown: unknown) => {
    throw toWorkerError(thrown, `read ${path}`);
  });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new WorkerError('CONFIG_INVALID', `${path} is no JSON: ${messageOf(cause)}`, { path }, { cause });
  }
  return parseWorkerConfig(value, path);
}

/** A size of the configuration, which the schema has checked. */
export function bytesOf(text: string): number {
  return sizeOf(text) ?? 0;
}
