import type { Digest } from '../../digest/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import type { RegistryClient } from '../../registry/index.ts';
import { decideMovingTags } from '../guard/index.ts';
import type { TagContext } from '../tags/index.ts';
import { isPermanent, type MatrixTags, type TagAssignment, variantTag } from './calculate.ts';
import type { MatrixConfig } from './config.ts';
import { readVariantImage } from './variant-image.ts';

/** What a repository has under the tags of a run, before it. */
export interface MatrixState {
  /** By tag; absent tags are not in it. */
  readonly tags: ReadonlyMap<string, Digest>;
  /** All tags of the repository. */
  readonly all: readonly string[];
}

export interface PlannedTag extends TagAssignment {
  readonly before: Digest | undefined;
  /** `stays`: it names a higher release, or exactly what it should. */
  readonly action: 'create' | 'move' | 'stays';
  readonly reason: string;
}

/** A variant that was released before is not built again: its precision tag says which image it is. */
export type VariantWork =
  | { readonly variant: string; readonly work: 'build' }
  | { readonly variant: string; readonly work: 'released'; readonly digest: Digest };

export interface MatrixPlan {
  readonly variants: readonly VariantWork[];
  /** In the order they are written. */
  readonly tags: readonly PlannedTag[];
}

interface Registry extends Cancelable {
  readonly client: RegistryClient;
}

/** GET and HEAD alone. */
export async function readMatrixState(
  config: MatrixConfig,
  { assignments }: MatrixTags,
  { client, signal }: Registry,
): Promise<MatrixState> {
  const all = await client.listTags(config.target, { signal });
  const tags = new Map<string, Digest>();
  for (const { tag } of assignments) {
    // A registry may list late: what a tag names is asked of the tag.
    const found = await client.headManifest(config.target, tag, { signal });
    if (found !== undefined) tags.set(tag, found.digest);
  }
  return { tags, all };
}

/**
 * What a run does, variant by variant and tag by tag: pure. Permanent tags that are there keep their images, and the run goes on from
 * them; moving ones follow the releases (src/release/guard). Throws TAG_PERMANENT for a version that is there and whose variant
 * would have to be built.
 */
export function planMatrix(config: MatrixConfig, matrix: MatrixTags, state: MatrixState): MatrixPlan {
  const precision = new Map(
    matrix.assignments.flatMap(({ role, tag, variant }) => {
      const digest = state.tags.get(tag);
      return role === 'precision' && digest !== undefined ? [[variant, digest] as const] : [];
    }),
  );
  const variants = matrix.event.kind === 'none' ? [] : config.variants;
  return {
    variants: variants.map((variant) => {
      const digest = precision.get(variant);
      return digest === undefined ? { variant, work: 'build' } : { variant, work: 'released', digest };
    }),
    tags: matrix.assignments.map((assignment) => planTag(assignment, { config, matrix, state, precision })),
  };
}

interface TagInput {
  readonly config: MatrixConfig;
  readonly matrix: MatrixTags;
  readonly state: MatrixState;
  /** What is released of each variant already. */
  readonly precision: ReadonlyMap<string, Digest>;
}

function planTag(assignment: TagAssignment, input: TagInput): PlannedTag {
  const { precision, state } = input;
  const { role, tag, variant } = assignment;
  const before = state.tags.get(tag);
  const after = precision.get(variant);
  const action = before === undefined ? 'create' : 'move';
  const moves = { ...assignment, before, action, reason: '' } as const;
  if (role === 'local') return { ...moves, reason: 'a pull request stays on this machine' };
  if (isPermanent(assignment)) {
    if (before === undefined) return { ...moves, reason: 'for good' };
    if (before === after) return { ...moves, action: 'stays', reason: 'released before' };
    throw new WorkerError(
      'TAG_PERMANENT',
      `${tag} is released as ${before}, which is not the image of ${variantTag(input.config, variant)}; it does not change`,
      { tag, digest: before },
    );
  }
  const decision = guardMoving(assignment, input);
  if (!decision.moves) return { ...moves, action: 'stays', reason: decision.reason };
  if (before !== undefined && before === after) return { ...moves, action: 'stays', reason: 'it is there' };
  return { ...moves, reason: decision.reason };
}

function guardMoving(
  { role, tag, variant }: TagAssignment,
  { config, matrix: { event }, state }: TagInput,
): { readonly moves: boolean; readonly reason: string } {
  if (event.kind !== 'release') return { moves: true, reason: role === 'development' ? 'the newest build' : '' };
  const [decision] = decideMovingTags({
    version: event.version,
    ...(role === 'variant' && { variant: variantTag(config, variant) }),
    tags: [tag],
    released: state.all,
    variants: config.variants.map((each) => variantTag(config, each)),
  });
  return decision ?? { moves: false, reason: 'no rule is for it' };
}

/**
 * A precision tag that is there must be of this commit, as far as its image says: a git tag that was moved is another release. Throws
 * TAG_PERMANENT.
 */
export async function checkReleasedVariants(
  config: MatrixConfig,
  plan: MatrixPlan,
  { sha }: TagContext,
  { client, signal }: Registry,
): Promise<void> {
  for (const each of plan.variants) {
    if (each.work !== 'released') continue;
    const { revision } = await readVariantImage(config, each.digest, { client, signal });
    if (sha !== '' && revision !== undefined && revision !== sha)
      throw new WorkerError(
        'TAG_PERMANENT',
        `${variantTag(config, each.variant)} of this version was released from commit ${revision}, and this is ${sha}`,
        { digest: each.digest },
      );
  }
}
