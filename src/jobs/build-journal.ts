import type { Json } from '../queue/index.ts';

/**
 * Steps that a build writes down when they are finished, in their order. `begun`: the pointer it is held to; `landed` and
 * `packed`: digests; `uploading`: an upload the registry was asked for, finished or not; `staged`: manifests and archives are where they belong and nothing names them yet; `pointed`: the pointer
 * names them; `tagged`: so does the tag.
 */
export const BUILD_STEPS = ['begun', 'landed', 'packed', 'uploading', 'staged', 'pointed', 'tagged'] as const;
export type BuildStep = (typeof BUILD_STEPS)[number];

/** What lets another process take up a build where this one leaves it. */
export interface BuildJournal {
  /** Stands in the pointer for the publication of this job, whoever made it. */
  readonly jobId: string;
  /** What was written at that step by all attempts, oldest first. */
  read(step: BuildStep): readonly Json[];
  /** Durable when it returns. Throws LEASE_LOST when the job is another's: then nothing more may be published. */
  write(step: BuildStep, data: Json): Promise<void>;
}
