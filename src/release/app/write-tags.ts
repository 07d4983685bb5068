import type { Digest } from '../../digest/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import type { FetchedManifest } from '../../registry/index.ts';
import type { LatestMode } from '../guard/index.ts';
import type { LedgerContent, LedgerPort } from './ledger.ts';
import { type LockContext, lockLedger } from './lock.ts';
import { type PlannedTag, planTags, type ReleaseState } from './plan.ts';
import type { ReleaseRegistry } from './registry-port.ts';

export interface WriteTagsRequest {
  readonly version: string;
  readonly commit: string | undefined;
  /** What all tags are to name. Resolved once; no tag is read again to find it. */
  readonly source: Digest;
  readonly latest: LatestMode;
  readonly isCommitGone?: boolean;
  /** Looks at the plan before anything is written; may throw. */
  readonly check?: (tags: readonly PlannedTag[]) => void;
}

export interface WriteTagsContext extends Omit<LockContext, 'ledger'> {
  readonly registry: ReleaseRegistry;
  readonly ledger: LedgerPort;
  /** After each tag of the plan, in order: it is as planned now. */
  readonly onTag: (tag: PlannedTag) => void;
}

/**
 * Plans on what the registry holds now and writes the tags that differ, in order, under the repository's lock: the same
 * bytes for each, read before, put, read after. Nothing is written when the guards refuse one of them. Throws
 * RELEASE_TAG_TAKEN, RELEASE_RACE_LOST, RELEASE_LOCKED, and what the registry throws; a second call writes what is missing.
 */
export async function writeTags(request: WriteTagsRequest, context: WriteTagsContext): Promise<readonly PlannedTag[]> {
  const { registry } = context;
  const begun = context.clock.nowMs();
  const lock = await lockLedger(context);
  let isDone = false;
  try {
    const { signal } = lock;
    const state = await readState(request, lock.content, registry, { signal });
    const planned = planTags(request, state);
    request.check?.(planned);
    if (planned.some(({ action }) => action === 'write'))
      await lock.update((content) => recordedAs('begun', content, request, begun));
    let manifest: FetchedManifest | undefined;
    for (const tag of planned) {
      if (tag.action === 'write') {
        manifest ??= await registry.fetch(request.source, { signal });
        await writeTag(tag, manifest, registry, { signal });
      }
      context.onTag(tag);
    }
    isDone = true;
    return planned;
  } finally {
    await lock.release((content) => (isDone ? recordedAs('done', content, request, begun) : content));
  }
}

/** What a plan looks at: the tags of the release one by one, all tags by name. Only GET and HEAD. */
export async function readState(
  { commit, version }: Pick<WriteTagsRequest, 'commit' | 'version'>,
  ledger: LedgerContent,
  registry: ReleaseRegistry,
  options: Cancelable,
): Promise<ReleaseState> {
  const present = new Map<string, Digest>();
  for (const tag of new Set([...(commit === undefined ? [] : [commit]), version, 'latest'])) {
    const digest = await registry.find(tag, options);
    if (digest !== undefined) present.set(tag, digest);
  }
  return { present, tags: await registry.tags(options), ledger };
}

/** Puts one tag and looks at it again: registries take no condition. */
export async function writeTag(
  { before, tag }: Pick<PlannedTag, 'before' | 'tag'>,
  manifest: FetchedManifest,
  registry: ReleaseRegistry,
  { signal }: Cancelable,
): Promise<void> {
  const now = (await registry.find(tag, { signal })) ?? null;
  if (now === manifest.digest) return;
  if (now !== before) throw raceLost(tag, before, now);
  await registry.put(tag, manifest, { signal });
  const after = await registry.find(tag, { signal });
  if (after !== manifest.digest) throw raceLost(tag, manifest.digest, after ?? null);
}

function raceLost(tag: string, wanted: Digest | null, found: Digest | null): WorkerError {
  return new WorkerError(
    'RELEASE_RACE_LOST',
    `${tag} is ${found ?? 'absent'} instead of ${wanted ?? 'absent'}: another writer was there`,
    { tag },
  );
}

/** What is done stays done. */
function recordedAs(
  state: 'begun' | 'done',
  content: LedgerContent,
  { source, version }: WriteTagsRequest,
  atMs: number,
): LedgerContent {
  if (content.releases[version]?.state === 'done') return content;
  const recorded = { digest: source, state, at: new Date(atMs).toISOString() };
  return { ...content, releases: { ...content.releases, [version]: recorded } };
}
