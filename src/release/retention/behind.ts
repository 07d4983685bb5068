import { toWorkerError, type WorkerError } from '../../errors/index.ts';
import type { RetentionPolicy } from './policy.ts';
import { type RetentionContext, type RetentionResult, runRetention } from './run-retention.ts';

/** What became of the retention behind a release. */
export type RetentionBehind = { readonly result: RetentionResult } | { readonly failure: WorkerError };

/**
 * Retention behind a release that succeeded. The release stands whatever happens here: a failure is given back, never thrown, and the
 * next release takes it up again.
 */
export async function retentionBehind(
  policy: RetentionPolicy,
  open: () => Promise<RetentionContext>,
): Promise<RetentionBehind> {
  try {
    return { result: await runRetention(policy, { dryRun: false }, await open()) };
  } catch (thrown) {
    return { failure: toWorkerError(thrown, 'retention behind the release') };
  }
}
