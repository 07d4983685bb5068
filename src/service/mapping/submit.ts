import {
  SubmitRequest as ProtoRequest,
  type SubmitResponse as ProtoResponse,
  Submitted as ProtoSubmitted,
} from '../../gen/clipyard/v1/build.ts';
import type { SubmitRequest, Submitted } from '../../worker/index.ts';
import { buildFromProto, buildToProto } from './build.ts';
import { boundedText, given, safeNumber, wireNumber, wrongField } from './fields.ts';
import { specFromProto, specToProto } from './spec.ts';

const HOW: Readonly<Record<Submitted['how'], ProtoSubmitted>> = {
  queued: ProtoSubmitted.SUBMITTED_QUEUED,
  shared: ProtoSubmitted.SUBMITTED_SHARED,
  published: ProtoSubmitted.SUBMITTED_PUBLISHED,
  repeated: ProtoSubmitted.SUBMITTED_REPEATED,
};

/** Throws REQUEST_INVALID, SPEC_INVALID, IMAGE_ID_INVALID. */
export function submitRequestFromProto(proto: ProtoRequest): SubmitRequest {
  const { idempotencyKey, maxAgeMs, priority, spec, timeoutMs } = proto;
  if (spec === undefined) throw wrongField('spec', 'is missing');
  if (priority !== undefined && priority > 9) throw wrongField('priority', `${priority} is none of 0 to 9`);
  return {
    ...specFromProto(spec),
    idempotencyKey: given(boundedText(idempotencyKey, 'idempotency_key', 256)),
    priority,
    maxAgeMs: maxAgeMs === undefined ? undefined : safeNumber(maxAgeMs, 'max_age_ms'),
    timeoutMs: timeoutMs === 0n ? undefined : safeNumber(timeoutMs, 'timeout_ms'),
  };
}

export function submitRequestToProto(request: SubmitRequest): ProtoRequest {
  const { idempotencyKey, maxAgeMs, priority, timeoutMs } = request;
  return {
    ...ProtoRequest.create(),
    spec: specToProto(request),
    idempotencyKey: idempotencyKey ?? '',
    priority,
    maxAgeMs: maxAgeMs === undefined ? undefined : wireNumber(maxAgeMs),
    timeoutMs: wireNumber(timeoutMs ?? 0),
  };
}

export function submittedToProto({ build, how }: Submitted): ProtoResponse {
  return { build: buildToProto(build), how: HOW[how] };
}

/** Throws REQUEST_INVALID for an answer that cannot be read. */
export function submittedFromProto({ build, how }: ProtoResponse): Submitted {
  const found = (Object.keys(HOW) as Submitted['how'][]).find((each) => HOW[each] === how);
  if (build === undefined || found === undefined) throw wrongField('build', 'is missing in the answer');
  return { build: buildFromProto(build), how: found };
}
