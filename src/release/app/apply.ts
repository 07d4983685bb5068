import { WorkerError } from '../../errors/index.ts';
import { RELEASE_LINES } from './log-lines.ts';
import type { PlannedTag } from './plan.ts';
import type { ReleaseDocument } from './plan-document.ts';
import { requestOf } from './plan-release.ts';
import { type ReleaseContext, type Released, release, sayTagged, writeAll } from './release.ts';

/**
 * Carries out a plan as it stands, or not at all: the tags are planned once more under the lock, and anything but the plan
 * (or a part of it that is done already) is RELEASE_PLAN_STALE, before the first write. A plan without image builds one.
 */
export async function applyPlan(plan: ReleaseDocument, context: ReleaseContext): Promise<Released> {
  const request = requestOf(plan);
  const { registry, say, signal } = context;
  const checked = { ...context, check: (tags: readonly PlannedTag[]) => requireSame(plan, tags) };
  if (plan.source === null) return await release(request, checked);
  const { app, commit, version } = request;
  if (commit !== undefined && (await registry.find(commit, { signal })) !== plan.source)
    throw stale(`${commit} is no longer ${plan.source}`);
  const tags = await writeAll({ ...request, source: plan.source, commit: undefined }, sayTagged(say), checked);
  say(RELEASE_LINES.retagged(app, version));
  return { how: 'retagged', digest: plan.source, tags };
}

function requireSame(plan: ReleaseDocument, now: readonly PlannedTag[]): void {
  const names = (tags: readonly { readonly tag: string }[]) => tags.map(({ tag }) => tag).join(', ');
  if (names(plan.tags) !== names(now)) throw stale(`it writes ${names(now)} instead of ${names(plan.tags)}`);
  for (const [at, planned] of plan.tags.entries()) {
    const { action, after, before, reason } = now[at] ?? planned;
    // Of a plan that was carried out in part, what is written is what was planned.
    const isDone = planned.action === 'write' && action === 'unchanged' && (planned.after ?? after) === after;
    if (isDone) continue;
    if (before !== planned.before)
      throw stale(`${planned.tag} was ${planned.before ?? 'absent'} and is ${before ?? 'absent'}`);
    if (action !== planned.action) throw stale(`${planned.tag}: ${planned.action} is now ${action}, ${reason}`);
  }
}

function stale(why: string): WorkerError {
  return new WorkerError('RELEASE_PLAN_STALE', `the plan no longer fits: ${why}`);
}
