export { type RetentionBehind, retentionBehind } from './behind.ts';
export { type CarriedOut, carryOut } from './carry-out.ts';
export { checkPlan } from './check-plan.ts';
export type { Deletion, Keep, RetentionPlan } from './plan.ts';
export { planRetention } from './plan-retention.ts';
export { parseRetentionPolicy, RetentionFile, type RetentionPolicy } from './policy.ts';
export { type RepositoryStore, registryStore } from './repository-store.ts';
export type { RetentionRules } from './rules.ts';
export {
  type RetentionContext,
  type RetentionEvent,
  type RetentionResult,
  runRetention,
} from './run-retention.ts';
