import { z } from 'zod';
import type { BuildEvent } from '../../gen/clipyard/v1/build.ts';
import { BUILD_STATES, type BuildState, type Json, type NewEvent, type StoredEvent } from '../../queue/index.ts';
import { structOf } from './build.ts';
import { failureFromProto, failureToProto } from './failure.ts';
import { dateOf, given, safeNumber, wireNumber } from './fields.ts';
import { stateFromProto, stateToProto } from './state.ts';

const state = z.enum(BUILD_STATES);
const stateWhat = z.looseObject({ state });
const logWhat = z.object({ stepId: z.string(), stream: z.int().min(0), data: z.string() });
const stepWhat = z.object({
  id: z.string(),
  name: z.string(),
  cached: z.boolean(),
  startedAtMs: z.number().optional(),
  completedAtMs: z.number().optional(),
  error: z.string().optional(),
});
const failureWhat = z.object({
  code: z.string(),
  message: z.string(),
  phase: state,
  retryable: z.boolean(),
  details: z.record(z.string(), z.json()),
});

/** An event whose content is not what its kind says is shown as a detail: a newer worker may have told it. */
export function eventToProto(buildId: string, event: StoredEvent): BuildEvent {
  return {
    buildId,
    cursor: wireNumber(event.cursor),
    time: dateOf(event.timeMs),
    phase: stateToProto(event.phase),
    attempt: event.attempt,
    bytes: wireNumber(event.bytes),
    about: aboutOf(event),
    what: whatOf(event),
  };
}

/** Throws REQUEST_INVALID for an event that cannot be read. */
export function eventFromProto(event: BuildEvent): StoredEvent {
  return {
    cursor: safeNumber(event.cursor, 'event.cursor'),
    timeMs: event.time?.getTime() ?? 0,
    phase: stateFromProto(event.phase, 'event.phase'),
    attempt: event.attempt,
    bytes: safeNumber(event.bytes, 'event.bytes'),
    ...contentOf(event),
  };
}

function whatOf({ kind, phase, what }: StoredEvent): NonNullable<BuildEvent['what']> {
  switch (kind) {
    case 'state':
      return { $case: 'state', value: stateToProto(stateOf(what) ?? phase) };
    case 'log': {
      const { data: log } = logWhat.safeParse(what);
      if (log === undefined) break;
      return { $case: 'log', value: { stepId: log.stepId, stream: log.stream, data: Buffer.from(log.data) } };
    }
    case 'step': {
      const { data: step } = stepWhat.safeParse(what);
      if (step === undefined) break;
      const { cached, completedAtMs, error = '', id, name, startedAtMs } = step;
      const times = { startedAt: dateOf(startedAtMs), completedAt: dateOf(completedAtMs) };
      return { $case: 'step', value: { id, name, cached, error, ...times } };
    }
    case 'failure': {
      const { data: failure } = failureWhat.safeParse(what);
      if (failure === undefined) break;
      return { $case: 'failure', value: failureToProto(failure) };
    }
    case 'detail':
      break;
  }
  return { $case: 'detail', value: structOf(what) };
}

function aboutOf({ kind, what }: StoredEvent): BuildEvent['about'] {
  const { data } = kind === 'state' ? stateWhat.safeParse(what) : {};
  if (data === undefined) return undefined;
  const { state: _, ...about } = data;
  return Object.keys(about).length === 0 ? undefined : about;
}

function stateOf(what: Json): BuildState | undefined {
  return stateWhat.safeParse(what).data?.state;
}

function contentOf({ about, phase, what }: BuildEvent): Pick<NewEvent, 'kind' | 'what'> {
  switch (what?.$case) {
    case 'state':
      return {
        kind: 'state',
        what: { ...(about as Json as object), state: stateFromProto(what.value, 'event.state') },
      };
    case 'log': {
      const { data, stepId, stream } = what.value;
      return { kind: 'log', what: { stepId, stream, data: data.toString() } };
    }
    case 'step': {
      const { cached, completedAt, error, id, name, startedAt } = what.value;
      return {
        kind: 'step',
        what: {
          id,
          name,
          cached,
          ...(startedAt !== undefined && { startedAtMs: startedAt.getTime() }),
          ...(completedAt !== undefined && { completedAtMs: completedAt.getTime() }),
          ...(given(error) !== undefined && { error }),
        },
      };
    }
    case 'failure':
      return { kind: 'failure', what: { ...failureFromProto(what.value) } };
    case 'detail':
      return { kind: 'detail', what: what.value ?? {} };
    case undefined:
      return { kind: 'detail', what: { phase: stateFromProto(phase, 'event.phase') } };
  }
}
