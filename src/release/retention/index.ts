export { checkPlan } from './check-plan.ts';
export type { Deletion, Keep, RetentionPlan } from './plan.ts';
export { planRetention } from './plan-retention.ts';
export type { RetentionRules } from './rules.ts';
