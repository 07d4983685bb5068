import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { type Digest, isDigest } from '../../digest/index.ts';
import { messageOf, toWorkerError, WorkerError } from '../../errors/index.ts';

const digest = z.string().refine((text): text is Digest => isDigest(text), 'no sha256 digest');
/** Texts with `*` for anything. */
const patterns = z.array(z.string().min(1).max(1024)).max(1024);

const policySchema = z.strictObject({
  /** Digests of frontend images that `# syntax=` may name. */
  frontends: z.array(digest).default([]),
  sources: z
    .strictObject({
      /** What builds may read, as BuildKit names it: `docker-image://docker.io/library/*`. */
      allow: patterns.default(['*']),
      /** Goes before `allow`. */
      deny: patterns.default([]),
    })
    .prefault({}),
  /** Networks that steps may ask for. */
  networks: z.array(z.enum(['default', 'none', 'host'])).default(['default', 'none']),
  /** The network of steps that ask for none: `none` shuts all of them off. */
  network: z.enum(['default', 'none']).default('default'),
  /** Where workspaces may push besides the worker's own repository, by workspace; `*` is every workspace. */
  repositories: z.record(z.string(), patterns).default({}),
  /** Agents for `RUN --mount=type=ssh`, by the id that steps name. */
  ssh: z
    .record(z.string(), z.strictObject({ socket: z.string().min(1), workspaces: z.array(z.string()).default(['*']) }))
    .default({}),
  git: z
    .strictObject({
      protocols: z.array(z.enum(['https', 'ssh', 'http', 'file'])).default(['https', 'ssh']),
      /** Addresses without user and query: `https://git.example.org/*`. */
      allow: patterns.default(['*']),
    })
    .prefault({}),
  /** Control group above those of all steps; its limits are theirs together. */
  cgroupParent: z.string().min(1).optional(),
});

/** What builds on this worker may do. Whatever is not said has the default of a worker that trusts nobody's frontend. */
export type WorkerPolicy = Readonly<z.infer<typeof policySchema>>;

export const DEFAULT_POLICY: WorkerPolicy = policySchema.parse({});

/** Throws CONFIG_INVALID with the field's name. */
export function parsePolicy(value: unknown): WorkerPolicy {
  const parsed = policySchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new WorkerError('CONFIG_INVALID', `policy: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not valid'}`);
}

/** A policy from a JSON file. Throws CONFIG_INVALID, PATH_NOT_FOUND. */
export async function readPolicy(path: string): Promise<WorkerPolicy> {
  const text = await readFile(path, 'utf8').catch((thrown: unknown) => {
    throw toWorkerError(thrown, `read the policy ${path}`);
  });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new WorkerError('CONFIG_INVALID', `policy ${path}: ${messageOf(cause)}`, { path }, { cause });
  }
  return parsePolicy(value);
}
