export { applyPlan } from './apply.ts';
export { hasEnded, thisHolder } from './holder.ts';
export {
  EMPTY_LEDGER,
  type Holder,
  type LedgerContent,
  type LedgerPort,
  ledgerKey,
  type ReadLedger,
  storeLedger,
} from './ledger.ts';
export type { LockClock } from './lock.ts';
export { classifyRelease, RELEASE_LINES, type ReleaseOutcome } from './log-lines.ts';
export { type ReleaseName, releaseRepository, requireCommitTag, requireVersionTag } from './names.ts';
export { type PlannedTag, type PlanRequest, planTags, type ReleaseState, type TagAction } from './plan.ts';
export { parseReleaseDocument, type ReleaseDocument } from './plan-document.ts';
export { type PlannedRelease, planRelease, releaseDocument, requestOf } from './plan-release.ts';
export { type Lookup, lookUp, type ReleaseRegistry, releaseRegistry } from './registry-port.ts';
export {
  type BuiltImage,
  decideSource,
  type ReleaseContext,
  type Released,
  type ReleaseRequest,
  release,
} from './release.ts';
export { type StoreLockOptions, storeLock } from './store-lock.ts';
export { type UndoneTag, undoRelease } from './undo.ts';
export { type WriteTagsContext, type WriteTagsRequest, writeTags } from './write-tags.ts';
