import type { BuildState, EndState } from './states.ts';

/** Anything that JSON can hold: what a queue stores for others without reading it. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** A build as it is put into a queue. */
export interface Submission {
  readonly workspaceId: string;
  readonly imageId: string;
  /** What to build; the queue does not look inside. */
  readonly spec: Json;
  /** Two builds of a workspace with the same key have the same outcome. */
  readonly key: string;
  /** undefined: every submission is a build of its own. */
  readonly idempotencyKey: string | undefined;
  /** 0 to 9, higher first within a workspace. */
  readonly priority: number;
  /** The build ends as failed after this; undefined: never by itself. */
  readonly deadlineMs: number | undefined;
  /** `os/arch[/variant]` that a worker must be able to build. */
  readonly platforms: readonly string[];
  /** Digests of base layers: a worker that has them is preferred while that costs no waiting. */
  readonly baseLayers: readonly string[];
}

/** Why a build ended or will be tried again; `code` is a key of ERROR_CODES. */
export interface StoredFailure {
  readonly code: string;
  readonly message: string;
  readonly phase: BuildState;
  readonly retryable: boolean;
  /** Step, exit code, Dockerfile lines, last log lines. */
  readonly details: { readonly [name: string]: Json };
}

/** What a client asked for. Several builds of one workspace may share one job. */
export interface BuildRecord {
  readonly buildId: string;
  readonly jobId: string;
  readonly workspaceId: string;
  readonly imageId: string;
  readonly state: BuildState;
  readonly priority: number;
  /** Wall clock, milliseconds since 1970, as are all times here. */
  readonly submittedAtMs: number;
  readonly startedAtMs: number | undefined;
  readonly endedAtMs: number | undefined;
  /** How often its job was taken. */
  readonly attempt: number;
  /** Not before this: a retry that waits. */
  readonly notBeforeMs: number | undefined;
  readonly result: Json | undefined;
  readonly failure: StoredFailure | undefined;
  readonly workerId: string | undefined;
  /** Builds that have the outcome of the job, this one among them. */
  readonly sharedBy: number;
}

/** The work itself: taken by one worker at a time, and resumed by the next from its journal. */
export interface Job {
  readonly jobId: string;
  readonly workspaceId: string;
  readonly imageId: string;
  readonly spec: Json;
  readonly key: string;
  readonly priority: number;
  readonly platforms: readonly string[];
  /** From 1. */
  readonly attempt: number;
  readonly deadlineMs: number | undefined;
  /** What earlier attempts finished, oldest first. */
  readonly journal: readonly JournalEntry[];
}

/** A step that was finished; the next attempt need not do it again. */
export interface JournalEntry {
  readonly step: string;
  readonly attempt: number;
  readonly timeMs: number;
  readonly data: Json;
}

/** An event as a worker tells it. */
export interface NewEvent {
  readonly timeMs: number;
  readonly phase: BuildState;
  readonly bytes: number;
  /** Output of steps is left out for those who ask so. */
  readonly kind: 'state' | 'step' | 'log' | 'detail' | 'failure';
  readonly what: Json;
}

/** An event as it is kept: cursors of a job are 1, 2, 3, … */
export interface StoredEvent extends NewEvent {
  readonly cursor: number;
  readonly attempt: number;
}

/** A worker as others see it. */
export interface WorkerStatus {
  readonly workerId: string;
  readonly version: string;
  readonly slots: number;
  readonly freeSlots: number;
  readonly draining: boolean;
  /** Why it takes nothing; undefined when it does. */
  readonly reason: string | undefined;
  readonly platforms: readonly string[];
  readonly diskFreeBytes: number;
  readonly diskBytes: number;
  /** Digests of base layers it has. */
  readonly baseLayers: readonly string[];
  readonly seenAtMs: number;
}

export interface QueueDepth {
  readonly queued: number;
  readonly delayed: number;
  readonly running: number;
  readonly dead: number;
  /** Of the oldest job that could run and does not; 0 when there is none. */
  readonly oldestAgeMs: number;
  readonly queuedByWorkspace: ReadonlyMap<string, number>;
}

/** How a job ended. */
export type Outcome =
  | { readonly state: Extract<EndState, 'done'>; readonly result: Json }
  | { readonly state: Extract<EndState, 'failed'>; readonly failure: StoredFailure };
