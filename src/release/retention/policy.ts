import { parse } from 'yaml';
import { z } from 'zod';
import { ageMsOf, inWords } from '../../config/index.ts';
import { type Digest, isDigest } from '../../digest/index.ts';
import { messageOf, WorkerError } from '../../errors/index.ts';
import type { RetentionRules } from './rules.ts';

/** What a person says; the rest of the rules is read. */
export type RetentionPolicy = Pick<RetentionRules, 'graceMs' | 'keep' | 'order' | 'protect' | 'withCommitTags'> & {
  /** Suffixes of tags that are variants and no prereleases, beside those that the tags tell. */
  readonly variants: readonly string[];
};

const count = z.union([z.number(), z.string().regex(/^\d+$/, 'is no whole number').transform(Number)]);
const yesOrNo = z.union([z.boolean(), z.enum(['true', 'false']).transform((text) => text === 'true')]);
const age = z.string().transform((text, context) => {
  const ageMs = ageMsOf(text);
  if (ageMs !== undefined) return ageMs;
  context.addIssue({ code: 'custom', message: `${text} is no age (write 7d, 12h or 30m)` });
  return z.NEVER;
});
const digest = z.string().refine((text): text is Digest => isDigest(text), 'is no digest');

/** A policy as a file says it: `retention.yaml`, or the part of `matrix.yaml` with that name. */
export const RetentionFile = z
  .strictObject({
    keep: count.pipe(z.number().int().min(1).max(100_000)),
    order: z.enum(['created', 'version']).default('created'),
    grace: age.prefault('24h'),
    protect: z.array(digest).default([]),
    variants: z.array(z.string().min(1)).default([]),
    commit_tags: yesOrNo.default(false),
  })
  .transform(
    ({ commit_tags, grace, keep, order, protect, variants }): RetentionPolicy => ({
      keep,
      order,
      graceMs: grace,
      protect: new Set(protect),
      variants,
      withCommitTags: commit_tags,
    }),
  );

/** `keep=5,order=version,grace=48h,commit_tags=true`, or the text of a YAML file with the same names. Throws CONFIG_INVALID. */
export function parseRetentionPolicy(text: string): RetentionPolicy {
  const parsed = RetentionFile.safeParse(isFields(text) ? fieldsOf(text) : documentOf(text), { error: inWords });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const place = issue?.path.join('.') ?? '';
  throw wrong(`${place === '' ? '' : `${place}: `}${issue?.message ?? 'not valid'}`);
}

/** One line of `name=value`; a file has its names in front of colons. */
function isFields(text: string): boolean {
  return /^[a-z_]+=[^\n]*$/.test(text);
}

function fieldsOf(text: string): Readonly<Record<string, string>> {
  const fields: Record<string, string> = {};
  for (const field of text.split(',')) {
    const equals = field.indexOf('=');
    const name = field.slice(0, equals).trim();
    if (equals < 1) throw wrong(`${field} is not name=value`);
    if (Object.hasOwn(fields, name)) throw wrong(`${name} is there twice`);
    fields[name] = field.slice(equals + 1).trim();
  }
  return fields;
}

function documentOf(text: string): unknown {
  try {
    return parse(text) as unknown;
  } catch (thrown) {
    throw wrong(`no YAML: ${messageOf(thrown).split('\n')[0] ?? ''}`);
  }
}

function wrong(message: string): WorkerError {
  return new WorkerError('CONFIG_INVALID', `the retention policy: ${message}`);
}
