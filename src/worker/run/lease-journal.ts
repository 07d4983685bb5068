import { BUILD_STEPS, type BuildJournal, type BuildStep } from '../../jobs/index.ts';
import type { Json, Lease } from '../../queue/index.ts';
import { untilAnswered } from './until-answered.ts';

/** The journal of a leased job: what the queue keeps of it, and what this attempt adds. */
export function leaseJournal(lease: Lease): BuildJournal {
  const written = new Map<BuildStep, Json[]>(BUILD_STEPS.map((step) => [step, []]));
  for (const { data, step } of lease.job.journal) written.get(step as BuildStep)?.push(data);
  return {
    jobId: lease.job.jobId,
    read: (step) => written.get(step) ?? [],
    write: async (step, data) => {
      await untilAnswered(() => lease.checkpoint(step, data), lease);
      written.get(step)?.push(data);
    },
  };
}
