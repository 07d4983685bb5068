import { WorkerError } from '../../errors/index.ts';
import { planTags } from './plan.ts';
import type { ReleaseDocument } from './plan-document.ts';
import { type Lookup, lookUp } from './registry-port.ts';
import { decideSource, type ReleaseContext, type Released, type ReleaseRequest } from './release.ts';
import { readState } from './write-tags.ts';

export interface PlannedRelease {
  readonly document: ReleaseDocument;
  /** Of the commit's image; undefined: none was asked for. */
  readonly lookup: Lookup | undefined;
}

/** What `release` would do now: reads alone. Throws what its checks would throw. */
export async function planRelease(
  request: ReleaseRequest,
  { clock, ledger, registry, signal }: Pick<ReleaseContext, 'clock' | 'ledger' | 'registry' | 'signal'>,
): Promise<PlannedRelease> {
  const { commit } = request;
  const lookup = commit === undefined ? undefined : await lookUp(registry, commit, { signal });
  const source = decideSource(commit, lookup) === 'retag' && lookup?.state === 'present' ? lookup.digest : undefined;
  const { content } = await ledger.read({ signal });
  const tagged = { ...request, source, commit: source === undefined ? commit : undefined };
  const state = await readState(tagged, content, registry, { signal });
  const released = { digest: source ?? null, tags: planTags(tagged, state) };
  return { document: releaseDocument(request, released, clock.nowMs()), lookup };
}

/** The plan, or with `how` the record. */
export function releaseDocument(
  { app, commit, latest, repository, version }: ReleaseRequest,
  {
    digest,
    how,
    tags,
  }: Pick<Released, 'tags'> & Partial<Pick<Released, 'how'>> & { digest: Released['digest'] | null },
  nowMs: number,
): ReleaseDocument {
  return {
    v: 1,
    kind: 'clipyard-release',
    app,
    version,
    commit: commit ?? null,
    ...repository,
    latest,
    source: digest,
    ...(how !== undefined && { how }),
    tags: [...tags],
    at: new Date(nowMs).toISOString(),
  };
}

/** What a plan was made for. Throws RELEASE_PLAN_INVALID for a record: it is done. */
export function requestOf({
  app,
  commit,
  how,
  latest,
  registry,
  repository,
  version,
}: ReleaseDocument): ReleaseRequest {
  if (how !== undefined)
    throw new WorkerError('RELEASE_PLAN_INVALID', `this is the record of ${app} ${version}, not a plan`);
  return { app, version, commit: commit ?? undefined, repository: { registry, repository }, latest };
}
