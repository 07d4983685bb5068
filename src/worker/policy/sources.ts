import type { WorkspaceId } from '../../archive/index.ts';
import { pinRules, type SourceRule } from '../../buildkit/index.ts';
import { WorkerError } from '../../errors/index.ts';
import { formatReference, type Repository } from '../../registry/index.ts';
import { matchesAny } from './pattern.ts';
import type { WorkerPolicy } from './worker-policy.ts';

/** Whether the worker lets builds read a source (`docker-image://…`, `https://…`). Throws SOURCE_DENIED. */
export function requireSource(source: string, policy: WorkerPolicy): void {
  const { allow, deny } = policy.sources;
  if (matchesAny(allow, source) && !matchesAny(deny, source)) return;
  throw new WorkerError('SOURCE_DENIED', `the worker's policy does not allow the source ${source.slice(0, 300)}`, {
    source: source.slice(0, 300),
  });
}

/**
 * The rules that BuildKit holds a build to, the last one that matches a source first in rank: bases as they were resolved,
 * what the worker allows, nothing of another workspace in the worker's own repository, nothing that is denied.
 */
export function sourceRules(
  {
    pinned,
    target,
    workspaceId,
  }: {
    readonly pinned: Readonly<Record<string, string>>;
    readonly target: Repository;
    readonly workspaceId: WorkspaceId;
  },
  { sources }: WorkerPolicy,
): readonly SourceRule[] {
  const allowsAll = sources.allow.includes('*');
  const own = `docker-image://${formatReference(target)}`;
  return [
    ...pinRules(pinned),
    ...(allowsAll
      ? []
      : [
          { action: 'deny', sources: '*' } as const,
          { action: 'allow', sources: 'local://*' } as const,
          ...sources.allow.map((pattern) => ({ action: 'allow', sources: pattern }) as const),
        ]),
    { action: 'deny', sources: { pattern: `^${escaped(own)}([:@]|$)` } },
    // An image id has no `-`, so no other workspace's tag is of this form (archive/identity.ts).
    {
      action: 'allow',
      sources: { pattern: `^${escaped(own)}:${escaped(workspaceId)}-[A-Za-z0-9_.]{1,64}(@sha256:[0-9a-f]{64})?$` },
    },
    ...sources.deny.map((pattern) => ({ action: 'deny', sources: pattern }) as const),
  ];
}

/** As text in an expression of Go's regexp. */
function escaped(text: string): string {
  return text.replaceAll(/[\\.+*?()|[\]{}^$]/g, '\\$&');
}
