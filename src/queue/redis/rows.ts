import { messageOf, WorkerError } from '../../errors/index.ts';
import type { BuildRecord, Job, JournalEntry, Json, NewEvent, StoredEvent, StoredFailure } from '../records.ts';
import type { BuildState } from '../states.ts';

/** Scripts answer a hash as names and values in turn. */
export type Hash = Readonly<Record<string, string | undefined>>;

export function hashOf(flat: unknown): Hash {
  const hash: Record<string, string> = {};
  const list = flat as string[];
  for (let at = 0; at + 1 < list.length; at += 2) hash[list[at] ?? ''] = list[at + 1] ?? '';
  return hash;
}

export function parseStored(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new WorkerError('QUEUE_CORRUPT', `${where} is no JSON: ${messageOf(error)}`, {}, { cause: error });
  }
}

const textIn = (hash: Hash, name: string): string => {
  const value = hash[name];
  if (value === undefined) throw new WorkerError('QUEUE_CORRUPT', `a record has no ${name}: ${JSON.stringify(hash)}`);
  return value;
};
const numberIn = (hash: Hash, name: string): number => Number(textIn(hash, name));
const optionalIn = (hash: Hash, name: string): number | undefined =>
  hash[name] === undefined ? undefined : Number(hash[name]);

/** A view is [build, job]. */
export function recordOf(view: unknown, nowMs: number): BuildRecord {
  const [build, job] = (view as unknown[]).map(hashOf) as [Hash, Hash];
  const canceledAtMs = optionalIn(build, 'canceledAt');
  const canceled = canceledAtMs !== undefined;
  const jobId = textIn(job, 'jobId');
  const parsed = (name: string): unknown =>
    job[name] === undefined || canceled ? undefined : parseStored(job[name], `${name} of job ${jobId}`);
  const availableAtMs = numberIn(job, 'availableAt');
  return {
    buildId: textIn(build, 'buildId'),
    jobId,
    workspaceId: textIn(build, 'workspaceId'),
    imageId: textIn(build, 'imageId'),
    state: canceled ? 'canceled' : (textIn(job, 'state') as BuildState),
    priority: numberIn(build, 'priority'),
    submittedAtMs: numberIn(build, 'submittedAt'),
    startedAtMs: optionalIn(job, 'startedAt'),
    endedAtMs: canceledAtMs ?? optionalIn(job, 'endedAt'),
    attempt: numberIn(job, 'attempt'),
    notBeforeMs: job['status'] === 'queued' && availableAtMs > nowMs ? availableAtMs : undefined,
    result: parsed('result') as Json | undefined,
    failure: parsed('failure') as StoredFailure | undefined,
    workerId: job['workerId'],
    sharedBy: canceled ? 1 : numberIn(job, 'live'),
  };
}

export function jobOf(job: Hash, journal: readonly string[]): Job {
  const jobId = textIn(job, 'jobId');
  const where = `job ${jobId}`;
  return {
    jobId,
    workspaceId: textIn(job, 'workspaceId'),
    imageId: textIn(job, 'imageId'),
    spec: parseStored(textIn(job, 'spec'), where) as Json,
    key: textIn(job, 'key'),
    priority: numberIn(job, 'priority'),
    platforms: parseStored(textIn(job, 'platforms'), where) as string[],
    attempt: numberIn(job, 'attempt'),
    deadlineMs: optionalIn(job, 'deadlineMs'),
    journal: journal.map((entry) => parseStored(entry, `journal of ${where}`) as JournalEntry),
  };
}

/** What is needed of a job whose lease ran out, or that waited too long. */
export interface Overdue {
  readonly id: string;
  readonly token: string;
  readonly workerId: string;
  readonly attempt: number;
  readonly state: BuildState;
  readonly deadlineMs: number;
}

export function overdueOf(flat: unknown): Overdue {
  const job = hashOf(flat);
  return {
    id: textIn(job, 'jobId'),
    token: job['token'] ?? '',
    workerId: job['workerId'] ?? '',
    attempt: numberIn(job, 'attempt'),
    state: textIn(job, 'state') as BuildState,
    deadlineMs: optionalIn(job, 'deadlineMs') ?? 0,
  };
}

/** An event is kept as "<attempt> <JSON>", at the place that is its cursor. */
export function eventOf(stored: string, cursor: number): StoredEvent {
  const space = stored.indexOf(' ');
  const event = parseStored(stored.slice(space + 1), 'an event') as NewEvent;
  return { ...event, cursor, attempt: Number(stored.slice(0, space)) };
}
