import type { Digest } from '../../digest/index.ts';
import { type Cancelable, messageOf, WorkerError } from '../../errors/index.ts';
import type { RegistryClient } from '../../registry/index.ts';
import { compareVersions, parseGuardVersion } from '../guard/index.ts';
import { type MatrixTags, type TagAssignment, variantTag } from './calculate.ts';
import type { MatrixConfig } from './config.ts';
import { readVariantImage, type VariantImage } from './variant-image.ts';

/** What a tag should name. */
export interface TagExpectation extends TagAssignment {
  /** Exactly this image; undefined: any that says of itself what it should. */
  readonly digest: Digest | undefined;
  /** Of an alias: the release it may not be behind. Where its image says it is that release, it is that one's. */
  readonly atLeast?: { readonly version: string; readonly digest: Digest | undefined };
}

export interface VerifiedTag {
  readonly tag: string;
  readonly variant: string;
  readonly digest: Digest | undefined;
  readonly platforms: readonly string[];
  /** None: the tag is what its text says. */
  readonly problems: readonly string[];
}

interface Registry extends Cancelable {
  readonly client: RegistryClient;
}

/**
 * Whether every tag resolves to what its text says: the image it should be, of that variant by its own configuration, for all
 * platforms. GET and HEAD alone.
 */
export async function verifyTags(
  config: MatrixConfig,
  expectations: readonly TagExpectation[],
  { client, signal }: Registry,
): Promise<readonly VerifiedTag[]> {
  const images = new Map<Digest, Promise<VariantImage>>();
  const verified: VerifiedTag[] = [];
  for (const expected of expectations) {
    const { tag, variant } = expected;
    const digest = (await client.headManifest(config.target, tag, { signal }))?.digest;
    if (digest === undefined) {
      verified.push({ tag, variant, digest, platforms: [], problems: ['it is not there'] });
      continue;
    }
    const reading = images.get(digest) ?? readVariantImage(config, digest, { client, signal });
    images.set(digest, reading);
    verified.push(await verifyOne(config, expected, digest, reading, signal));
  }
  return verified;
}

/** What the tags of a run should name by what is in the registry: aliases the precision tags, or of a newer release. */
export async function expectationsOf(
  config: MatrixConfig,
  { assignments, event }: MatrixTags,
  { client, signal }: Registry,
): Promise<readonly TagExpectation[]> {
  const source = new Map<string, Digest>();
  for (const { role, tag, variant } of assignments) {
    if (role !== 'precision' && role !== 'development') continue;
    const found = await client.headManifest(config.target, tag, { signal });
    if (found !== undefined && !source.has(variant)) source.set(variant, found.digest);
  }
  return assignments.map((assignment) => {
    const digest = source.get(assignment.variant);
    const follows = assignment.role === 'variant' || assignment.role === 'latest';
    if (!follows || event.kind !== 'release') return { ...assignment, digest };
    return { ...assignment, digest: undefined, atLeast: { version: event.version, digest } };
  });
}

/** Throws MATRIX_MISMATCH with a line for each tag that is not what it should be. */
export function requireVerified(verified: readonly VerifiedTag[]): void {
  const lines = verified.flatMap(({ problems, tag }) => problems.map((problem) => `${tag}: ${problem}`));
  if (lines.length > 0) throw new WorkerError('MATRIX_MISMATCH', lines.join('\n'), { tags: lines.length });
}

async function verifyOne(
  config: MatrixConfig,
  expected: TagExpectation,
  digest: Digest,
  reading: Promise<VariantImage>,
  signal: AbortSignal,
): Promise<VerifiedTag> {
  const { tag, variant } = expected;
  try {
    const image = await reading;
    const wanted = image.version === expected.atLeast?.version ? expected.atLeast?.digest : expected.digest;
    const isOther = wanted !== undefined && wanted !== digest;
    const problems = [
      ...(isOther ? [`it is ${digest} and should be ${wanted}`] : []),
      ...problemsOf(config, expected, image),
    ];
    return { tag, variant, digest, platforms: image.platforms, problems };
  } catch (thrown) {
    signal.throwIfAborted();
    return { tag, variant, digest, platforms: [], problems: [messageOf(thrown)] };
  }
}

function problemsOf(
  config: MatrixConfig,
  { atLeast, role, tag, variant }: TagExpectation,
  image: VariantImage,
): readonly string[] {
  const missing = config.platforms.filter((platform) => !image.platforms.includes(platform));
  const problems = missing.map((platform) => `it has no image for ${platform}`);
  if (config.platforms.length > 1 && !image.isIndex) problems.push('it is no index of several platforms');
  if (image.variant !== variant)
    problems.push(`its image says it is ${image.variant === undefined ? 'no variant' : image.variant}, not ${variant}`);
  const version = role === 'precision' ? tag.slice(0, -variantTag(config, variant).length - 1) : tag;
  if ((role === 'precision' || role === 'version') && image.version !== version)
    problems.push(`its image says it is version ${image.version ?? 'unknown'}`);
  if (atLeast !== undefined && !isAtLeast(image.version, atLeast.version))
    problems.push(`its image is of ${image.version ?? 'no version'}, older than ${atLeast.version}`);
  return problems;
}

/** Whether an alias of a release may name this image: the release's own, or a later one. */
function isAtLeast(version: string | undefined, released: string): boolean {
  const [has, wants] = [parseGuardVersion(version ?? ''), parseGuardVersion(released)];
  return has !== undefined && wants !== undefined && compareVersions(has, wants) >= 0;
}
