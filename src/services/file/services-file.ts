import { dirname, resolve } from 'node:path';
import { parse as parseYaml, YAMLParseError } from 'yaml';
import { z } from 'zod';
import { inWords } from '../../config/index.ts';
import { messageOf, WorkerError } from '../../errors/index.ts';

/** One service as it is written. Paths are as written, too. */
export interface ServiceEntry {
  readonly name: string;
  /** Below `source`. */
  readonly context: string;
  /** In the context; default as BuildKit's: `Dockerfile`, then `dockerfile`. */
  readonly dockerfile?: string | undefined;
  readonly args: Readonly<Record<string, string>>;
  readonly target?: string | undefined;
  readonly platforms: readonly string[];
  /** `registry/repository`, where it is not `<registry>/<org>/<repo>/<name>`. */
  readonly image?: string | undefined;
}

export interface ServicesFile {
  readonly registry?: string | undefined;
  readonly org?: string | undefined;
  readonly repo?: string | undefined;
  /** The folder that contexts lie below, absolute. */
  readonly source: string;
  /** Name of the label that holds an image's context hash. */
  readonly label: string;
  /** How one logs in: by a GitHub token, or as docker does. */
  readonly login?: 'github' | 'docker' | undefined;
  readonly services: readonly ServiceEntry[];
}

export const SERVICES_FILE_NAME = 'clipyard.yaml';
export const DEFAULT_LABEL = 'milou.context.hash';
const MAX_BYTES = 1024 * 1024;
const MAX_SERVICES = 500;

const NAME = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
/** The least that is a services file. */
const EXAMPLE = 'write for example services: [{name: backend}], or let `clipyard services init` write it';

const LABEL = /^[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,126}[A-Za-z0-9])?$/;

/** YAML reads 3.10 as 3.1 and `no` or 0x10 as something else again: what is meant as text stands in quotes. */
const text = z.string({
  error: ({ input }) =>
    typeof input === 'number' || typeof input === 'boolean'
      ? `${String(input)} is no text: write it in quotes, as YAML reads it its own way (3.10 is 3.1)`
      : undefined,
});
const word = text.min(1, 'it is empty');

const EntrySchema = z.strictObject({
  name: word.regex(NAME, 'lower-case letters and digits, single . _ - between them').max(63),
  context: word.optional(),
  dockerfile: word.optional(),
  args: z.record(word, text).default({}),
  target: word.optional(),
  platforms: z.array(word).default([]),
  image: word.optional(),
});

const FileSchema = z.strictObject({
  registry: word.optional(),
  org: word.optional(),
  repo: word.optional(),
  source: word.default('.'),
  label: word.regex(LABEL, 'it is no name of a label').default(DEFAULT_LABEL),
  login: z.enum(['github', 'docker']).optional(),
  services: z
    .array(EntrySchema, {
      error: ({ input }) => (input === undefined || input === null ? `it names no service: ${EXAMPLE}` : undefined),
    })
    .min(1, `it names no service: ${EXAMPLE}`)
    .max(MAX_SERVICES),
  // Other commands' parts of the same file.
  matrix: z.unknown().optional(),
  release: z.unknown().optional(),
  retention: z.unknown().optional(),
});

/** Reads the text of a services file that lies at `path`. Throws SERVICES_FILE_INVALID, naming the place. */
export function parseServicesFile(yaml: string, path: string): ServicesFile {
  if (yaml.length > MAX_BYTES) throw invalid(path, `more than ${MAX_BYTES} characters`);
  const value = documentOf(yaml, path);
  if (value === null || value === undefined) throw invalid(path, `the file is empty: ${EXAMPLE}`);
  const parsed = FileSchema.safeParse(value, { error: inWords });
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const place = issue?.path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('');
    throw invalid(path, `${place?.replace(/^\./, '') ?? ''}: ${issue?.message ?? 'not valid'}`.replace(/^: /, ''));
  }
  const { data } = parsed;
  const services = data.services.map((entry) => ({ ...entry, context: entry.context ?? entry.name }));
  const seen = new Map<string, string>();
  for (const { name } of services) {
    // Archives go by names without `-`, where two services must not meet.
    const other = seen.get(imageIdPart(name));
    if (other !== undefined)
      throw invalid(path, other === name ? `two services are called ${name}` : `${other} and ${name} are too alike`);
    seen.set(imageIdPart(name), name);
  }
  const { label, login, org, registry, repo } = data;
  return { registry, org, repo, label, login, source: resolve(dirname(path), data.source), services };
}

/** A name as it stands in an image id, which has no `-`. */
export function imageIdPart(name: string): string {
  return name.replaceAll(/[^A-Za-z0-9_.]/g, '_');
}

function documentOf(yaml: string, path: string): unknown {
  try {
    return parseYaml(yaml, { maxAliasCount: 100 }) as unknown;
  } catch (cause) {
    const line = cause instanceof YAMLParseError ? cause.linePos?.[0].line : undefined;
    const [reason = ''] = messageOf(cause).split('\n');
    throw invalid(path, line === undefined ? reason : `line ${line}: ${reason}`, cause);
  }
}

function invalid(path: string, why: string, cause?: unknown): WorkerError {
  return new WorkerError('SERVICES_FILE_INVALID', `${path}: ${why}`, { path }, { cause });
}
