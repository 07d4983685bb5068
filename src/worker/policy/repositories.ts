import { WorkerError } from '../../errors/index.ts';
import { formatReference, parseReference, type Repository } from '../../registry/index.ts';
import { matchesAny } from './pattern.ts';
import type { WorkerPolicy } from './worker-policy.ts';

/** Where a build's image goes: the worker's repository, or one that its workspace may push to. Throws SOURCE_DENIED, REFERENCE_INVALID. */
export function repositoryOf(
  asked: string | undefined,
  { target, workspaceId }: { readonly target: Repository; readonly workspaceId: string },
  policy: WorkerPolicy,
): Repository {
  if (asked === undefined) return target;
  const { registry, repository } = parseReference(asked);
  const wanted = { registry, repository };
  const name = formatReference(wanted);
  if (name === formatReference(target) || mayPush(name, workspaceId, policy)) return wanted;
  throw new WorkerError('SOURCE_DENIED', `workspace ${workspaceId} may not push to ${name}`, { repository: name });
}

/** Whether the policy names the repository for the workspace; the worker's own needs no naming. */
export function mayPush(repository: string, workspaceId: string, { repositories }: WorkerPolicy): boolean {
  return matchesAny([...(repositories[workspaceId] ?? []), ...(repositories['*'] ?? [])], repository);
}
