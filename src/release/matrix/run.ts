import type { ImageId } from '../../archive/index.ts';
import type { Digest } from '../../digest/index.ts';
import { type Cancelable, toWorkerError, WorkerError } from '../../errors/index.ts';
import type { RegistryClient } from '../../registry/index.ts';
import type { TagContext } from '../tags/index.ts';
import { isPermanent, type MatrixTags, type TagAssignment, variantTag } from './calculate.ts';
import { type MatrixConfig, variantImageId } from './config.ts';
import { checkReleasedVariants, type MatrixPlan, type PlannedTag, planMatrix, readMatrixState } from './plan.ts';
import { REVISION_LABEL, VARIANT_LABEL, VERSION_LABEL } from './variant-image.ts';
import { requireVerified, type VerifiedTag, verifyTags } from './verify.ts';

/** One build: all platforms of one variant. */
export interface VariantBuild {
  readonly variant: string;
  /** Its place in the store and its tag in the registry while nothing else names it. */
  readonly imageId: ImageId;
  readonly platforms: readonly string[];
  readonly buildArgs: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  /** Names on this machine of what is not pushed. */
  readonly localTags: readonly string[];
}

export interface VariantImageBuilt {
  readonly variant: string;
  readonly digest: Digest;
  /** False: its precision tag was there. */
  readonly built: boolean;
}

/** A tag to set; `expected` is what the plan found under it. */
export interface TagToSet {
  readonly tag: string;
  readonly digest: Digest;
  readonly expected: Digest | 'absent';
  readonly permanent: boolean;
}

export type MatrixEventReport =
  | { readonly type: 'variant'; readonly variant: string; readonly state: 'building' | 'built' | 'released' | 'failed' }
  | { readonly type: 'tag'; readonly tag: string; readonly digest: Digest; readonly state: 'written' | 'stays' };

export interface MatrixContext extends Cancelable {
  readonly client: RegistryClient;
  /** Builds one variant and, if the run pushes, pushes it: by digest and under its image id alone. */
  readonly build: (request: VariantBuild, options: Cancelable) => Promise<Digest>;
  /** Puts the bytes under one more tag and reads it back; says whether it had to. */
  readonly setTag: (target: TagToSet, options: Cancelable) => Promise<boolean>;
  /** Between all builds and the first tag; what it throws leaves all tags as they were. */
  readonly approve?: (images: readonly VariantImageBuilt[], options: Cancelable) => Promise<void>;
  readonly report: (event: MatrixEventReport) => void;
}

export interface WrittenTag extends PlannedTag {
  /** What it names now. */
  readonly digest: Digest;
  readonly written: boolean;
}

export interface MatrixResult {
  readonly images: readonly VariantImageBuilt[];
  readonly tags: readonly WrittenTag[];
  readonly verified: readonly VerifiedTag[];
}

/** Reads the registry and says what a run would do; writes nothing. Throws what the run would throw before its first build. */
export async function previewMatrix(
  config: MatrixConfig,
  matrix: MatrixTags,
  given: TagContext,
  registry: Pick<MatrixContext, 'client' | 'signal'>,
): Promise<MatrixPlan> {
  // A pull request asks the registry for nothing: there may be no login.
  if (!matrix.push) return planMatrix(config, matrix, { tags: new Map(), all: [] });
  const plan = planMatrix(config, matrix, await readMatrixState(config, matrix, registry));
  await checkReleasedVariants(config, plan, given, registry);
  return plan;
}

/**
 * Builds all variants, then writes all tags, then looks whether they are right. No tag is touched before every variant is built and
 * approved, so that one that fails leaves every alias where it was. Killed at any moment and run again it ends the same: what has its
 * precision tag is not built again. The caller holds the repository's lock. Throws the error of the first variant that failed,
 * TAG_PERMANENT, MATRIX_MISMATCH and what `setTag` throws.
 */
export async function runMatrix(
  config: MatrixConfig,
  matrix: MatrixTags,
  given: TagContext,
  context: MatrixContext,
): Promise<MatrixResult> {
  const { approve, report, signal } = context;
  const plan = await previewMatrix(config, matrix, given, context);
  const images = await buildAll(config, matrix, plan, given, context);
  await approve?.(images, { signal });
  const digests = new Map(images.map(({ digest, variant }) => [variant, digest]));
  const tags: WrittenTag[] = [];
  for (const planned of plan.tags) {
    const target = targetOf(planned, digests);
    const written = matrix.push && planned.action !== 'stays' && (await context.setTag(target, { signal }));
    const digest = planned.action === 'stays' ? (planned.before ?? target.digest) : target.digest;
    if (matrix.push) report({ type: 'tag', tag: planned.tag, digest, state: written ? 'written' : 'stays' });
    tags.push({ ...planned, digest, written });
  }
  if (!matrix.push) return { images, tags, verified: [] };
  // What stays with a newer release is that one's affair.
  const own = tags.filter((tag) => tag.digest === digests.get(tag.variant));
  const verified = await verifyTags(config, own, context);
  requireVerified(verified);
  return { images, tags, verified };
}

/** Every variant is tried, so that one run tells of all that fail. Throws the first one's error, which then names them. */
async function buildAll(
  config: MatrixConfig,
  matrix: MatrixTags,
  plan: MatrixPlan,
  given: TagContext,
  { build, report, signal }: MatrixContext,
): Promise<readonly VariantImageBuilt[]> {
  const images: VariantImageBuilt[] = [];
  const failures: { readonly variant: string; readonly error: WorkerError }[] = [];
  for (const work of plan.variants) {
    const { variant } = work;
    if (work.work === 'released') {
      report({ type: 'variant', variant, state: 'released' });
      images.push({ variant, digest: work.digest, built: false });
      continue;
    }
    report({ type: 'variant', variant, state: 'building' });
    try {
      images.push({ variant, digest: await build(buildOf(config, matrix, given, variant), { signal }), built: true });
      report({ type: 'variant', variant, state: 'built' });
    } catch (thrown) {
      signal.throwIfAborted();
      failures.push({ variant, error: toWorkerError(thrown, `build ${variantTag(config, variant)}`) });
      report({ type: 'variant', variant, state: 'failed' });
    }
  }
  const [first] = failures;
  if (first === undefined) return images;
  const failed = failures.map(({ variant }) => variant);
  throw new WorkerError(
    first.error.code,
    `${variantTag(config, first.variant)}: ${first.error.message}\nno tag was written; failed: ${failed.join(', ')}`,
    { ...first.error.details, failed },
    { cause: first.error },
  );
}

function buildOf(
  config: MatrixConfig,
  matrix: MatrixTags,
  { repository, sha }: TagContext,
  variant: string,
): VariantBuild {
  const { event } = matrix;
  const version =
    event.kind === 'release' ? event.version : (matrix.assignments.find(({ role }) => role !== 'precision')?.tag ?? '');
  return {
    variant,
    imageId: variantImageId(config, variant),
    platforms: config.platforms,
    buildArgs: { ...config.buildArgs, [config.argument]: variant },
    // No time: the same commit gives the same image.
    labels: {
      [VARIANT_LABEL]: variant,
      [VERSION_LABEL]: version,
      ...(sha !== '' && { [REVISION_LABEL]: sha }),
      ...(repository.url !== '' && { 'org.opencontainers.image.source': repository.url }),
    },
    localTags: matrix.assignments.flatMap((each) =>
      each.role === 'local' && each.variant === variant ? [each.tag] : [],
    ),
  };
}

function targetOf(planned: PlannedTag & TagAssignment, digests: ReadonlyMap<string, Digest>): TagToSet {
  const digest = digests.get(planned.variant);
  if (digest === undefined) throw new WorkerError('INTERNAL', `the variant ${planned.variant} was not built`);
  return { tag: planned.tag, digest, expected: planned.before ?? 'absent', permanent: isPermanent(planned) };
}
