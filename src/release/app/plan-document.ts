import { z } from 'zod';
import { inWords } from '../../config/index.ts';
import { type Digest, isDigest } from '../../digest/index.ts';
import { WorkerError } from '../../errors/index.ts';

const digest = z.string().refine((text): text is Digest => isDigest(text), 'not a digest');

/**
 * A plan, and with `how` the record of a release: what each tag was, what it becomes, and why. As `release plan` writes it and
 * `release --json` prints it (docs/release.md).
 */
const DocumentSchema = z.object({
  v: z.literal(1),
  kind: z.literal('clipyard-release'),
  app: z.string().min(1),
  version: z.string().min(1),
  commit: z.string().nullable(),
  registry: z.string().min(1),
  repository: z.string().min(1),
  latest: z.enum(['auto', 'always', 'never']),
  /** The image; null: it is to be built. */
  source: digest.nullable(),
  how: z.enum(['retagged', 'built', 'rebuilt', 'resumed']).optional(),
  tags: z.array(
    z.object({
      tag: z.string().min(1),
      kind: z.enum(['commit', 'version', 'latest']),
      before: digest.nullable(),
      after: digest.nullable(),
      action: z.enum(['write', 'unchanged', 'keep']),
      reason: z.string(),
    }),
  ),
  /** ISO 8601. */
  at: z.string(),
  /** Of a record: how long it took, the build included. */
  durationMs: z.number().optional(),
});
export type ReleaseDocument = z.infer<typeof DocumentSchema>;

const MAX_BYTES = 1 << 20;

/** Throws RELEASE_PLAN_INVALID. */
export function parseReleaseDocument(text: string): ReleaseDocument {
  if (text.length > MAX_BYTES) throw new WorkerError('RELEASE_PLAN_INVALID', `more than ${MAX_BYTES} characters`);
  if (text.trim() === '') throw new WorkerError('RELEASE_PLAN_INVALID', 'the file is empty');
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch (cause) {
    throw new WorkerError('RELEASE_PLAN_INVALID', 'the file is no JSON', {}, { cause });
  }
  const parsed = DocumentSchema.safeParse(read, { error: inWords });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const why = [issue?.path.join('.') ?? '', issue?.message ?? ''].filter((part) => part !== '').join(': ');
  throw new WorkerError(
    'RELEASE_PLAN_INVALID',
    `the file is no plan of \`release plan\`, and nothing that \`release --json\` printed: ${why}`,
  );
}
