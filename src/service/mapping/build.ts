import { Build } from '../../gen/clipyard/v1/build.ts';
import type { Json } from '../../queue/index.ts';
import type { BuildView } from '../../worker/index.ts';
import { failureFromProto, failureToProto } from './failure.ts';
import { dateOf, given, safeNumber, wireNumber } from './fields.ts';
import { stateFromProto, stateToProto } from './state.ts';

export function buildToProto(view: BuildView): Build {
  return {
    buildId: view.buildId,
    jobId: view.jobId,
    workspaceId: view.workspaceId,
    imageId: view.imageId,
    state: stateToProto(view.state),
    submittedAt: dateOf(view.submittedAtMs),
    startedAt: dateOf(view.startedAtMs),
    endedAt: dateOf(view.endedAtMs),
    notBefore: dateOf(view.notBeforeMs),
    attempt: view.attempt,
    priority: view.priority,
    position: view.position === undefined ? undefined : wireNumber(view.position),
    result: structOf(view.result),
    failure: view.failure && failureToProto(view.failure),
    workerId: view.workerId ?? '',
    sharedBy: view.sharedBy,
  };
}

/** A build as a client sees it. Throws REQUEST_INVALID for an answer that cannot be read. */
export function buildFromProto(build: Build): BuildView {
  return {
    buildId: build.buildId,
    jobId: build.jobId,
    workspaceId: build.workspaceId,
    imageId: build.imageId,
    state: stateFromProto(build.state, 'build.state'),
    submittedAtMs: build.submittedAt?.getTime() ?? 0,
    startedAtMs: build.startedAt?.getTime(),
    endedAtMs: build.endedAt?.getTime(),
    notBeforeMs: build.notBefore?.getTime(),
    attempt: build.attempt,
    priority: build.priority,
    position: build.position === undefined ? undefined : safeNumber(build.position, 'build.position'),
    result: build.result,
    failure: build.failure && failureFromProto(build.failure),
    workerId: given(build.workerId),
    sharedBy: build.sharedBy,
  };
}

/** A document as a google.protobuf.Struct; what is no object stands under `value`. */
export function structOf(json: Json | undefined): Record<string, Json> | undefined {
  if (json === undefined) return undefined;
  const isObject = typeof json === 'object' && json !== null && !Array.isArray(json);
  return isObject ? { ...(json as Record<string, Json>) } : { value: json };
}
