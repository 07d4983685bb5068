import { isMap, isScalar, isSeq, parseDocument } from 'yaml';
import { z } from 'zod';
import { type ImageId, parseImageId } from '../../archive/index.ts';
import { inWords } from '../../config/index.ts';
import { WorkerError } from '../../errors/index.ts';
import { formatPlatform, parsePlatform } from '../../oci/index.ts';
import { parseReference, type Repository } from '../../registry/index.ts';
import { RetentionFile, type RetentionPolicy } from '../retention/index.ts';

/** What a matrix is made of: one image, its variants, and how one is built (docs/matrix.md). */
export interface MatrixConfig {
  /** Where all tags are. */
  readonly target: Repository;
  /** As they are written, in that order: text, never numbers. */
  readonly variants: readonly string[];
  readonly defaultVariant: string;
  /** Stands before a variant in tags: `python` makes `python3.13`. */
  readonly prefix: string;
  /** The build argument that tells the Dockerfile which variant it makes. */
  readonly argument: string;
  /** `os/arch[/variant]`, each once. */
  readonly platforms: readonly string[];
  /** The branch whose builds get the development tags; undefined: the repository's default branch. */
  readonly branch: string | undefined;
  /** undefined: the branch's name and `dev`. */
  readonly development: readonly string[] | undefined;
  /** Relative to the configuration. */
  readonly context: string;
  readonly dockerfile: string | undefined;
  readonly stage: string | undefined;
  readonly buildArgs: Readonly<Record<string, string>>;
  /** Under which a variant's builds are known in the store: `<imageId>.<prefix><variant>`. */
  readonly imageId: string;
  /** What goes behind a run that wrote its tags. */
  readonly retention: RetentionPolicy | undefined;
}

/** A part of a tag. */
const PART = /^[A-Za-z0-9_.-]*$/;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const VARIANTS = 'variants: ["3.12", "3.13"]';
/** More would be a mistake, and each is a build. */
const MAX_VARIANTS = 64;

const text = z.string().min(1);
/** What has no default says what to write. */
const missing =
  (example: string) =>
  ({ input }: { readonly input?: unknown }) =>
    input === undefined || input === null ? `it is missing: write for example ${example}` : undefined;
const part = text.regex(PART, 'only letters, digits, . _ and - may stand in a tag');
const ConfigFile = z.strictObject({
  registry: z.string({ error: missing('registry: ghcr.io/owner') }).min(1),
  image: z.string({ error: missing('image: app') }).min(1),
  image_id: text.optional(),
  variants: z
    .array(part.regex(/^[A-Za-z0-9_]/, 'begins with a letter, a digit or _'), { error: missing(VARIANTS) })
    .min(1, `it names no variant: write for example ${VARIANTS}`)
    .max(MAX_VARIANTS),
  default: z.string({ error: missing('default: "3.13"') }).min(1),
  prefix: z.string().regex(PART, 'only letters, digits, . _ and - may stand in a tag').default('python'),
  build_argument: z.string().regex(NAME, 'is no name of a build argument').default('PYTHON_VERSION'),
  platforms: z.array(text).min(1).default(['linux/amd64', 'linux/arm64']),
  branch: text.optional(),
  development: z.array(part).min(1).optional(),
  context: text.default('.'),
  dockerfile: text.optional(),
  target: text.optional(),
  build_args: z.record(z.string().regex(NAME, 'is no name of a build argument'), z.string()).default({}),
  retention: RetentionFile.optional(),
});

/**
 * Reads a configuration (YAML, and so JSON). A variant that YAML takes for a number is refused: 3.10 would be 3.1. Throws
 * MATRIX_INVALID with all that is wrong, a line each.
 */
export function parseMatrixConfig(document: string, { registry }: { readonly registry?: string } = {}): MatrixConfig {
  const { numbers, value } = readDocument(document);
  if (value === undefined || value === null)
    throw new WorkerError(
      'MATRIX_INVALID',
      `the configuration is empty: it has registry, image, ${VARIANTS} and default`,
    );
  const isNames = typeof value === 'object' && !Array.isArray(value);
  const given = isNames && registry !== undefined ? { ...value, registry } : value;
  const parsed = ConfigFile.safeParse(given, { error: inWords });
  const problems = [...numbers];
  if (!parsed.success) {
    for (const { message, path } of parsed.error.issues) {
      const place = path.join('.');
      if (!numbers.some((line) => line.startsWith(`${place}: `)))
        problems.push(`${place === '' ? '' : `${place}: `}${message}`);
    }
  }
  refuse(problems);
  if (!parsed.success) throw parsed.error;
  return checked(parsed.data);
}

function checked(file: z.infer<typeof ConfigFile>): MatrixConfig {
  const { build_args, build_argument, platforms, prefix, variants } = file;
  const problems: string[] = [];
  const target = readTarget(`${file.registry}/${file.image}`.toLowerCase(), problems);
  for (const variant of repeated(variants)) problems.push(`variants: ${variant} is there twice`);
  if (!variants.includes(file.default)) problems.push(`default: ${file.default} is none of the variants`);
  if (Object.hasOwn(build_args, build_argument)) problems.push(`build_args: ${build_argument} is set for each variant`);
  const names = platforms.flatMap((name) => readPlatform(name, problems));
  for (const name of repeated(names)) problems.push(`platforms: ${name} is there twice`);
  const imageId = file.image_id ?? target.repository.replaceAll(/[^A-Za-z0-9_.]+/g, '_');
  checkImageIds({ imageId, prefix, variants }, problems);
  refuse(problems);
  return {
    target,
    variants,
    defaultVariant: file.default,
    prefix,
    argument: build_argument,
    platforms: names,
    branch: file.branch,
    development: file.development,
    context: file.context,
    dockerfile: file.dockerfile,
    stage: file.target,
    buildArgs: build_args,
    imageId,
    retention: file.retention,
  };
}

/** Under which a variant is built and published in the store; its tag belongs to nobody who pulls. */
export function variantImageId(
  { imageId, prefix }: Pick<MatrixConfig, 'imageId' | 'prefix'>,
  variant: string,
): ImageId {
  return parseImageId(`${imageId}.${prefix}${variant}`.replaceAll('-', '_'));
}

function checkImageIds(config: Pick<MatrixConfig, 'imageId' | 'prefix' | 'variants'>, problems: string[]): void {
  try {
    const ids = config.variants.map((variant) => variantImageId(config, variant));
    if (repeated(config.variants).length === 0)
      for (const id of repeated(ids)) problems.push(`variants: two of them are ${id} in the store`);
  } catch {
    problems.push(
      'image_id: with prefix and variant it has more than 64 characters, or others than letters, digits, _ and .',
    );
  }
}

function readTarget(text: string, problems: string[]): Repository {
  try {
    const { digest, registry, repository, tag } = parseReference(text);
    if (tag === undefined && digest === undefined) return { registry, repository };
    problems.push(`image: ${text} names a tag or digest; the matrix calculates them`);
  } catch {
    problems.push(`image: ${text} is no name of an image`);
  }
  return { registry: '', repository: '' };
}

function readPlatform(name: string, problems: string[]): readonly string[] {
  try {
    return [formatPlatform(parsePlatform(name))];
  } catch {
    problems.push(`platforms: ${name} is not os/architecture[/variant]`);
    return [];
  }
}

/** The document, and a line for each number where text belongs: as it is written, which its value no longer tells. */
function readDocument(document: string): { readonly value: unknown; readonly numbers: readonly string[] } {
  const parsed = parseDocument(document);
  const [error] = parsed.errors;
  if (error !== undefined)
    throw new WorkerError('MATRIX_INVALID', `the configuration is no YAML: ${error.message.split('\n')[0] ?? ''}`);
  const numbers: string[] = [];
  const note = (place: string, node: unknown) => {
    if (isScalar(node) && typeof node.value === 'number')
      numbers.push(
        `${place}: ${node.source ?? String(node.value)} is a number to YAML (${node.value}); write it as text: "${node.source ?? ''}"`,
      );
  };
  if (isMap(parsed.contents)) {
    const variants = parsed.contents.get('variants');
    if (isSeq(variants)) for (const [at, item] of variants.items.entries()) note(`variants.${at}`, item);
    note('default', parsed.contents.get('default', true));
  }
  try {
    return { value: parsed.toJS() as unknown, numbers };
  } catch (cause) {
    throw new WorkerError('MATRIX_INVALID', 'the configuration repeats itself without end', {}, { cause });
  }
}

export function repeated(texts: readonly string[]): readonly string[] {
  return [...new Set(texts.filter((each, at) => texts.indexOf(each) !== at))];
}

function refuse(problems: readonly string[]): void {
  if (problems.length > 0) throw new WorkerError('MATRIX_INVALID', problems.join('\n'), { problems: problems.length });
}
