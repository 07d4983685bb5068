import { once } from 'node:events';
import type { ServerWritableStream } from '@grpc/grpc-js';
import { WorkerError } from '../../errors/index.ts';
import type {
  BuildEvent,
  BuildServiceServer,
  ListRequest,
  UploadContextRequest,
  WatchRequest,
} from '../../gen/clipyard/v1/build.ts';
import type { ListQuery } from '../../queue/index.ts';
import type { Builds, BuildView } from '../../worker/index.ts';
import { buildToProto } from '../mapping/build.ts';
import { eventToProto } from '../mapping/event.ts';
import { boundedText, given, requiredText, safeNumber, wireNumber, wrongField } from '../mapping/fields.ts';
import { stateFromProto } from '../mapping/state.ts';
import { submitRequestFromProto, submittedToProto } from '../mapping/submit.ts';
import { type CallContext, type CallOptions, runCall, unary } from './call.ts';
import type { Readiness } from './readiness.ts';

const MESSAGE_BYTES = 1024 * 1024;
const PAGE_SIZE = 100;
const MOST_PAGE_SIZE = 1000;

/** BuildService over the builds of a worker. What adds work is refused once the worker drains. */
export function buildService(builds: Builds, readiness: Readiness, context: CallContext): BuildServiceServer {
  return {
    uploadContext: (call, callback) => {
      void runCall(call, context, async ({ caller, signal }) => {
        readiness.assertReady();
        const { digest, sizeBytes } = await builds.upload(caller.workspaceId, dataOf(call, signal), { signal });
        return { digest, sizeBytes: wireNumber(sizeBytes) };
      }).then((outcome) => {
        if ('status' in outcome) callback(outcome.status);
        else callback(null, outcome.result);
      });
    },
    submit: unary(context, async (request, { caller, signal }) => {
      readiness.assertReady();
      const submitted = await builds.submit(caller.workspaceId, submitRequestFromProto(request), { signal });
      return submittedToProto({ ...submitted, build: owned(submitted.build, caller.workspaceId) });
    }),
    get: unary(context, async ({ buildId }, { caller, signal }) => {
      const build = await builds.get(caller.workspaceId, requiredText(buildId, 'build_id'), { signal });
      return buildToProto(owned(build, caller.workspaceId));
    }),
    list: unary(context, async (request, { caller, signal }) => {
      const { next, records } = await builds.list(caller.workspaceId, listQuery(request), { signal });
      return {
        builds: records.map((record) => buildToProto({ ...owned(record, caller.workspaceId), position: undefined })),
        nextPageToken: next ?? '',
      };
    }),
    cancel: unary(context, async ({ buildId, reason }, { caller, signal }) => {
      const id = requiredText(buildId, 'build_id');
      const why = boundedText(reason, 'reason', 1024);
      return buildToProto(owned(await builds.cancel(caller.workspaceId, id, why, { signal }), caller.workspaceId));
    }),
    watch: (call) => {
      void runCall(call, context, (options) => sendEvents(call, builds, context, options)).then((outcome) => {
        if ('status' in outcome) call.emit('error', outcome.status);
        else call.end();
      });
    },
  };
}

/** Event after event, no faster than the client takes them. Throws WORKER_DRAINING when the server stops. */
async function sendEvents(
  call: ServerWritableStream<WatchRequest, BuildEvent>,
  builds: Builds,
  { stopping }: CallContext,
  { caller, signal }: CallOptions,
): Promise<void> {
  const { buildId, cursor, skipLogs } = call.request;
  const id = requiredText(buildId, 'build_id');
  const watching = AbortSignal.any([signal, stopping]);
  try {
    const after = safeNumber(cursor, 'cursor');
    for await (const event of builds.watch(caller.workspaceId, id, { after, skipLogs, signal: watching })) {
      watching.throwIfAborted();
      if (!call.write(eventToProto(id, event))) await once(call, 'drain', { signal: watching });
    }
  } catch (thrown) {
    if (stopping.aborted && !signal.aborted)
      throw new WorkerError('WORKER_DRAINING', 'the worker stops; watch on at another one from the last cursor');
    throw thrown;
  }
  // A queue that ends quietly when its signal is aborted has not told everything.
  signal.throwIfAborted();
  if (stopping.aborted && !signal.aborted)
    throw new WorkerError('WORKER_DRAINING', 'the worker stops; watch on at another one from the last cursor');
}

/** The bytes of an upload as they come; nothing is asked of the client while the taker is busy. */
async function* dataOf(messages: AsyncIterable<UploadContextRequest>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  for await (const { data } of messages) {
    signal.throwIfAborted();
    if (data.length > MESSAGE_BYTES) throw wrongField('data', `of a message is longer than ${MESSAGE_BYTES} bytes`);
    if (data.length > 0) yield data;
  }
  // The stream of a call that broke ends as if it were complete.
  signal.throwIfAborted();
}

function listQuery({ imageId, pageSize, pageToken, states }: ListRequest): ListQuery {
  if (pageSize > MOST_PAGE_SIZE) throw wrongField('page_size', `${pageSize} is more than ${MOST_PAGE_SIZE}`);
  const image = given(boundedText(imageId, 'image_id', 256));
  const page = given(boundedText(pageToken, 'page_token', 1024));
  return {
    limit: pageSize === 0 ? PAGE_SIZE : pageSize,
    ...(states.length > 0 && { states: states.map((state) => stateFromProto(state, 'states')) }),
    ...(image !== undefined && { imageId: image }),
    ...(page !== undefined && { page }),
  };
}

/** The workspace is the domain's to keep; this is the second lock on the door. Throws BUILD_NOT_FOUND. */
function owned<Owned extends Pick<BuildView, 'workspaceId' | 'buildId'>>(build: Owned, workspaceId: string): Owned {
  if (build.workspaceId === workspaceId) return build;
  throw new WorkerError('BUILD_NOT_FOUND', `there is no build ${build.buildId}`, { buildId: build.buildId });
}
