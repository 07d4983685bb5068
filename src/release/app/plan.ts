import type { Digest } from '../../digest/index.ts';
import { decideMovingTags, guardPermanentTag, highestOf, type LatestMode, parseGuardVersion } from '../guard/index.ts';
import { type LedgerContent, versionsOf } from './ledger.ts';

/** What becomes of a tag: it is put, it names the image already, or it stays with another. */
export type TagAction = 'write' | 'unchanged' | 'keep';

export interface PlannedTag {
  readonly tag: string;
  readonly kind: 'commit' | 'version' | 'latest';
  /** null: there is no such tag. */
  readonly before: Digest | null;
  /** null: what is not built yet. Of a kept tag what it is now. */
  readonly after: Digest | null;
  readonly action: TagAction;
  readonly reason: string;
}

/** The registry and the ledger, as a plan is made on them. */
export interface ReleaseState {
  /** Of the tags of the release alone. */
  readonly present: ReadonlyMap<string, Digest>;
  /** All tags of the repository. */
  readonly tags: readonly string[];
  readonly ledger: LedgerContent;
}

export interface PlanRequest {
  readonly version: string;
  /** The commit's tag, where the release writes it too. */
  readonly commit: string | undefined;
  /** undefined: not built yet. */
  readonly source: Digest | undefined;
  readonly latest: LatestMode;
  /** The commit's tag names a manifest that is gone: it may be written again. */
  readonly isCommitGone?: boolean;
}

/**
 * What a release writes, in order: commit, version, latest. Pure. Throws RELEASE_TAG_TAKEN when a permanent tag names
 * another image, or the version was released as another before, also where its tag was deleted since.
 */
export function planTags(request: PlanRequest, state: ReleaseState): readonly PlannedTag[] {
  const { commit, source, version } = request;
  const recorded = state.ledger.releases[version];
  if (source !== undefined && recorded?.state === 'done') guardPermanentTag(version, recorded.digest, source);
  const permanent = [
    ...(commit === undefined || commit === version ? [] : [{ tag: commit, kind: 'commit' as const }]),
    { tag: version, kind: 'version' as const },
  ];
  return [...permanent.map((each) => planPermanent(each, request, state)), planLatest(request, state)];
}

function planPermanent(
  { kind, tag }: Pick<PlannedTag, 'kind' | 'tag'>,
  { isCommitGone = false, source }: PlanRequest,
  { present }: ReleaseState,
): PlannedTag {
  const before = present.get(tag);
  const isGone = kind === 'commit' && isCommitGone;
  const action = source === undefined || isGone ? 'write' : guardPermanentTag(tag, before, source);
  const reason =
    before === undefined
      ? 'new'
      : action === 'unchanged'
        ? 'names the image already'
        : isGone
          ? 'its image is gone'
          : 'released already: only the same image may be built';
  return { tag, kind, before: before ?? null, after: source ?? null, action, reason };
}

function planLatest({ latest, source, version }: PlanRequest, { ledger, present, tags }: ReleaseState): PlannedTag {
  const tag = 'latest';
  const before = present.get(tag);
  const stands =
    before === undefined
      ? undefined
      : highestOf(versionsOf(ledger, before).flatMap((each) => parseGuardVersion(each) ?? []));
  const [decision = { moves: false, reason: 'not decided' }] = decideMovingTags({
    version,
    tags: [tag],
    released: tags,
    latest,
    ...(stands !== undefined && { standsFor: new Map([[tag, stands.text]]) }),
  });
  const now = { tag, kind: 'latest' as const, before: before ?? null };
  if (!decision.moves) return { ...now, after: before ?? null, action: 'keep', reason: decision.reason };
  if (source !== undefined && before === source)
    return { ...now, after: source, action: 'unchanged', reason: 'names the image already' };
  return { ...now, after: source ?? null, action: 'write', reason: decision.reason };
}
