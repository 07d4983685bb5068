import type { Digest } from '../../digest/index.ts';
import { WorkerError } from '../../errors/index.ts';
import { compareSemanticVersions, parseSemanticVersion } from '../version/index.ts';
import { lockLedger } from './lock.ts';
import type { ReleaseDocument } from './plan-document.ts';
import type { ReleaseRegistry } from './registry-port.ts';
import type { WriteTagsContext } from './write-tags.ts';

export interface UndoneTag {
  readonly tag: string;
  readonly before: Digest | null;
  /** null: the tag is removed. */
  readonly after: Digest | null;
  readonly action: 'restore' | 'remove' | 'unchanged';
}

/**
 * Puts the moving tags of a plan or record back to what they were; permanent tags stay. Refuses with RELEASE_PLAN_STALE, before
 * anything is written, when one of them is neither what the release made of it nor what it was, or when a higher version of the
 * same image has taken it over. `isDryRun`: says what it would do.
 */
export async function undoRelease(
  { app, tags, version }: ReleaseDocument,
  { isDryRun }: { readonly isDryRun: boolean },
  context: Omit<WriteTagsContext, 'onTag'>,
): Promise<readonly UndoneTag[]> {
  const { registry } = context;
  const moved = tags.filter(({ action, kind }) => kind === 'latest' && action === 'write');
  if (moved.some(({ after }) => after === null))
    throw new WorkerError(
      'RELEASE_PLAN_INVALID',
      `the plan of ${app} ${version} was made before its image; undo by its record`,
    );
  await using _alone = isDryRun ? undefined : await context.lock({ signal: context.signal });
  const lock = isDryRun ? undefined : await lockLedger(context);
  const signal = lock?.signal ?? context.signal;
  try {
    const undone: UndoneTag[] = [];
    for (const { after, before, tag } of moved) {
      const now = (await registry.find(tag, { signal })) ?? null;
      if (now !== before && now !== after)
        throw new WorkerError('RELEASE_PLAN_STALE', `${tag} is ${now ?? 'absent'}: another release moved it since`, {
          tag,
        });
      const heir = now === before ? undefined : await higherVersionOf(now, version, registry, signal);
      if (heir !== undefined)
        throw new WorkerError(
          'RELEASE_PLAN_STALE',
          `${tag} is ${heir}'s, too: that is the same image, released since`,
          {
            tag,
          },
        );
      undone.push({
        tag,
        before: now,
        after: before,
        action: now === before ? 'unchanged' : before === null ? 'remove' : 'restore',
      });
    }
    for (const { action, after, before, tag } of isDryRun ? [] : undone) {
      if (action === 'remove') await registry.removeTag(tag, { signal });
      if (action === 'restore' && after !== null)
        await registry.write({ tag, expected: before ?? 'absent' }, await registry.fetch(after, { signal }), {
          signal,
        });
    }
    return undone;
  } finally {
    await lock?.release((content) => content);
  }
}

/** A version above this one that names the same image: its release found the moving tag right and did not write it. */
async function higherVersionOf(
  digest: Digest | null,
  version: string,
  registry: ReleaseRegistry,
  signal: AbortSignal,
): Promise<string | undefined> {
  const versions = (await registry.tags({ signal })).filter((tag) => parseSemanticVersion(tag) !== undefined);
  for (const tag of versions.filter((other) => compareSemanticVersions(other, version) > 0))
    if ((await registry.find(tag, { signal })) === digest) return tag;
  return undefined;
}
