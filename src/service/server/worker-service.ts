import { WorkerError } from '../../errors/index.ts';
import type { WorkerServiceServer } from '../../gen/clipyard/v1/worker.ts';
import type { WorkerControl } from '../../worker/index.ts';
import type { Caller } from '../auth/caller.ts';
import { safeNumber } from '../mapping/fields.ts';
import { capacityToProto } from '../mapping/worker.ts';
import { type CallContext, unary } from './call.ts';
import type { Readiness } from './readiness.ts';

/** WorkerService, for operators alone. */
export function workerService(control: WorkerControl, readiness: Readiness, context: CallContext): WorkerServiceServer {
  return {
    capacity: unary(context, async (_request, { caller, signal }) => {
      assertOperator(caller);
      return capacityToProto(await control.capacity({ signal }));
    }),
    drain: unary(context, async ({ budgetMs }, { caller, signal }) => {
      assertOperator(caller);
      const budget = budgetMs === 0n ? undefined : safeNumber(budgetMs, 'budget_ms');
      readiness.set(false);
      return await control.drain(budget, { signal });
    }),
  };
}

/** Throws WORKER_DENIED. */
function assertOperator({ name, operator }: Caller): void {
  if (!operator) throw new WorkerError('WORKER_DENIED', `${name} is no operator, who alone may call WorkerService`);
}
