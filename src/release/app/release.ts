import type { Digest } from '../../digest/index.ts';
import { type Cancelable, type ErrorCode, messageOf, toWorkerError, WorkerError } from '../../errors/index.ts';
import { formatReference, type Repository } from '../../registry/index.ts';
import type { LatestMode } from '../guard/index.ts';
import { RELEASE_LINES } from './log-lines.ts';
import type { PlannedTag } from './plan.ts';
import { type Lookup, lookUp } from './registry-port.ts';
import { type WriteTagsContext, writeTags } from './write-tags.ts';

export interface ReleaseRequest {
  readonly app: string;
  /** Is its tag as it stands. */
  readonly version: string;
  /** The tag of the commit's image; without it the image is always built. */
  readonly commit: string | undefined;
  readonly repository: Repository;
  readonly latest: LatestMode;
}

/** What a build gave: pushed by digest, no tag names it yet. */
export interface BuiltImage {
  readonly digest: Digest;
  readonly platforms: readonly string[];
}

export interface ReleaseContext extends Omit<WriteTagsContext, 'onTag'> {
  /** The pipeline: builds and pushes the image and its lazy archive, sets no tag. */
  readonly build: (options: Cancelable) => Promise<BuiltImage>;
  readonly say: (line: string) => void;
  /** Before a write of tags that partly failed is taken up again. */
  readonly pause: (options: Cancelable) => Promise<void>;
  /** Looks at what is to be written, before it is; may throw. For `apply`. */
  readonly check?: (tags: readonly PlannedTag[]) => void;
}

export interface Released {
  readonly how: 'retagged' | 'built' | 'rebuilt' | 'resumed';
  readonly digest: Digest;
  readonly tags: readonly PlannedTag[];
}

/** What no other image would mend: a rebuild must not try to get around them. */
const FINAL: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'RELEASE_TAG_TAKEN',
  'RELEASE_TAG_INVALID',
  'RELEASE_RACE_LOST',
  'RELEASE_LOCKED',
  'RELEASE_PLAN_STALE',
  'RELEASE_INCOMPLETE',
]);
const RESUMES = 2;

/** A store that fails would fail after the build, too. */
function isFinal({ code }: WorkerError): boolean {
  return FINAL.has(code) || code.startsWith('STORE_');
}

/** Whether the commit's image is released as it is, or one is built: only what is surely there is re-tagged. */
export function decideSource(commit: string | undefined, lookup: Lookup | undefined): 'retag' | 'build' {
  return commit !== undefined && lookup?.state === 'present' ? 'retag' : 'build';
}

/**
 * Releases an app: its commit's image under the version, and latest where the guards let it move; without such an image,
 * or when tagging it failed before anything was written, a built one (docs/release.md). Killed at any moment, the same call
 * again ends it. Throws RELEASE_TAG_TAKEN, RELEASE_INCOMPLETE (some tags are written), RELEASE_RACE_LOST, RELEASE_LOCKED,
 * and what the build throws.
 */
export async function release(request: ReleaseRequest, context: ReleaseContext): Promise<Released> {
  const { app, commit, repository, version } = request;
  const { registry, say, signal } = context;
  if (commit === undefined) return (await resume(request, context)) ?? (await buildAndPush(request, 'built', context));
  const found = await lookUp(registry, commit, { signal });
  if (decideSource(commit, found) === 'build' || found.state !== 'present') {
    say(
      found.state === 'unknown' ? RELEASE_LINES.unknown(commit, found.error.message) : RELEASE_LINES.notFound(commit),
    );
    return await buildAndPush(request, 'built', context);
  }
  say(RELEASE_LINES.found(commit, formatReference({ ...repository, tag: commit })));
  say(RELEASE_LINES.optimizing());
  try {
    const tags = await writeAll({ ...request, source: found.digest, commit: undefined }, sayTagged(say), context);
    say(RELEASE_LINES.retagged(app, version));
    return { how: 'retagged', digest: found.digest, tags };
  } catch (thrown) {
    signal.throwIfAborted();
    const failure = toWorkerError(thrown, `re-tag ${formatReference({ ...repository, digest: found.digest })}`);
    if (isFinal(failure)) throw failure;
    say(RELEASE_LINES.failed(failure.message));
    say(RELEASE_LINES.rebuilding());
    return await buildAndPush(request, 'rebuilt', context);
  }
}

async function buildAndPush(
  request: ReleaseRequest,
  how: 'built' | 'rebuilt',
  context: ReleaseContext,
): Promise<Released> {
  const { app, version } = request;
  const { say, signal } = context;
  say(RELEASE_LINES.building());
  const built = await context.build({ signal });
  say(RELEASE_LINES.built(built.platforms.length));
  const { isCommitGone, source } = await sourceOf(built.digest, request, context);
  const saysPushing = (tags: readonly PlannedTag[]) => {
    context.check?.(tags);
    say(RELEASE_LINES.pushing(tags.filter(({ action }) => action !== 'keep').length));
  };
  const tags = await writeAll({ ...request, source, isCommitGone }, sayKept(say), { ...context, check: saysPushing });
  say(how === 'built' ? RELEASE_LINES.pushed(app, version) : RELEASE_LINES.pushedAfterFallback(app, version));
  return { how, digest: source, tags };
}

/**
 * A commit's tag is permanent. Where its image turns out to be there after all, that one is released: version and commit
 * must not name different images. Only a tag whose manifest is surely gone is written anew.
 */
async function sourceOf(
  built: Digest,
  { commit }: ReleaseRequest,
  { registry, say, signal }: ReleaseContext,
): Promise<{ readonly source: Digest; readonly isCommitGone: boolean }> {
  const standing = commit === undefined ? undefined : await registry.find(commit, { signal });
  if (commit === undefined || standing === undefined || standing === built)
    return { source: built, isCommitGone: false };
  try {
    await registry.fetch(standing, { signal });
  } catch (thrown) {
    if (thrown instanceof WorkerError && thrown.code === 'REGISTRY_NOT_FOUND')
      return { source: built, isCommitGone: true };
    throw thrown;
  }
  say(RELEASE_LINES.standing(commit));
  return { source: standing, isCommitGone: false };
}

/** A release without commit whose process died between two tags: its image is in the ledger, its version in the registry. */
async function resume(request: ReleaseRequest, context: ReleaseContext): Promise<Released | undefined> {
  const { app, version } = request;
  const { ledger, registry, say, signal } = context;
  const recorded = (await ledger.read({ signal })).content.releases[version];
  if (recorded?.state !== 'begun' || (await registry.find(version, { signal })) !== recorded.digest) return undefined;
  say(RELEASE_LINES.resuming(`${version} was written by a release that did not end`));
  const tags = await writeAll({ ...request, source: recorded.digest }, sayTagged(say), context);
  say(RELEASE_LINES.pushed(app, version));
  return { how: 'resumed', digest: recorded.digest, tags };
}

/** Once a tag is written, the rest is owed: what fails then is tried again, and never answered with another image. */
export async function writeAll(
  request: Pick<ReleaseRequest, 'commit' | 'latest' | 'version'> & {
    readonly source: Digest;
    readonly isCommitGone?: boolean;
  },
  onTag: (tag: PlannedTag) => void,
  context: ReleaseContext,
): Promise<readonly PlannedTag[]> {
  const { check, pause, say, signal } = context;
  const reached = new Map<string, PlannedTag>();
  const on = (tag: PlannedTag) => {
    if (reached.has(tag.tag)) return;
    reached.set(tag.tag, tag);
    onTag(tag);
  };
  for (let attempt = 0; ; attempt++) {
    try {
      const once = { ...request, ...(check !== undefined && attempt === 0 && { check }) };
      const tags = await writeTags(once, { ...context, onTag: on });
      // What an earlier attempt wrote was "unchanged" to the last: the first plan says what became of it.
      return tags.map((tag) => reached.get(tag.tag) ?? tag);
    } catch (thrown) {
      signal.throwIfAborted();
      const failure = toWorkerError(thrown, 'write the tags of a release');
      const isPartial = [...reached.values()].some(({ action }) => action === 'write');
      if (!isPartial || isFinal(failure)) throw failure;
      if (attempt === RESUMES)
        throw new WorkerError(
          'RELEASE_INCOMPLETE',
          `${[...reached.keys()].join(', ')} of the release are written, the rest is not: ${messageOf(thrown)}`,
          {},
          { cause: thrown },
        );
      say(RELEASE_LINES.resuming(failure.message));
      await pause({ signal });
    }
  }
}

export function sayTagged(say: (line: string) => void): (tag: PlannedTag) => void {
  return (tag) => {
    if (tag.action === 'keep') sayKept(say)(tag);
    else say(RELEASE_LINES.tagged(tag.tag));
  };
}

function sayKept(say: (line: string) => void): (tag: PlannedTag) => void {
  return ({ action, reason, tag }) => {
    if (action === 'keep') say(RELEASE_LINES.kept(tag, reason));
  };
}
