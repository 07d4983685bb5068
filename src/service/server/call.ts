import type { Deadline, handleUnaryCall, Metadata, ServerUnaryCall } from '@grpc/grpc-js';
import { type Cancelable, type ErrorCode, WorkerError } from '../../errors/index.ts';
import type { Log } from '../../telemetry/index.ts';
import type { Authenticate, Caller } from '../auth/caller.ts';
import { type CallStatus, callStatusOf } from '../errors/status.ts';

/** What handlers share. */
export interface CallContext {
  readonly authenticate: Authenticate;
  readonly log: Log;
  /** Aborted when the server stops: ends the calls that would never end by themselves. */
  readonly stopping: AbortSignal;
  readonly observe: CallObserver | undefined;
  /** How often a call that lasts shows its credentials again. */
  readonly recheckMs: number;
}

/** Told of every call when it ends, for metrics; `method` is `/package.Service/Method`. */
export type CallObserver = (call: {
  readonly method: string;
  readonly code: ErrorCode | 'OK';
  readonly durationMs: number;
}) => void;

type AuthContext = ReturnType<ServerUnaryCall<unknown, unknown>['getAuthContext']>;

/** What the four kinds of calls have in common. */
interface AnyCall {
  readonly cancelled: boolean;
  readonly metadata: Metadata;
  getPath(): string;
  getDeadline(): Deadline;
  getAuthContext(): AuthContext;
  on(event: 'cancelled', listener: () => void): unknown;
  off(event: 'cancelled', listener: () => void): unknown;
}

/** What a handler gets of its call. */
export interface CallOptions extends Cancelable {
  readonly caller: Caller;
}

/**
 * Runs a handler with the caller's identity and a signal that ends with the call: canceled, too late, or broken. Gives what it
 * returned, or the status to answer with. Never throws.
 */
export async function runCall<Result>(
  call: AnyCall,
  context: CallContext,
  handler: (options: CallOptions) => Promise<Result>,
): Promise<{ readonly result: Result } | { readonly status: CallStatus }> {
  const startedMs = performance.now();
  const method = call.getPath();
  const ending = new AbortController();
  const cancel = () => {
    ending.abort(
      isOver(call.getDeadline())
        ? new DOMException("the call's deadline is over", 'TimeoutError')
        : new DOMException('the caller is gone', 'AbortError'),
    );
  };
  call.on('cancelled', cancel);
  let caller: Caller | undefined;
  let code: ErrorCode | 'OK' = 'OK';
  try {
    if (call.cancelled) cancel();
    caller = await context.authenticate(credentialsOf(call));
    ending.signal.throwIfAborted();
    using _rechecks = recheck(call, caller, context, ending);
    return { result: await handler({ caller, signal: ending.signal }) };
  } catch (thrown) {
    const { error, status } = callStatusOf(ending.signal.aborted ? ending.signal.reason : thrown);
    code = error.code;
    const line = {
      method,
      workspaceId: caller?.workspaceId,
      caller: caller?.name,
      code,
      // What is not told to the caller stands here instead.
      ...(error.category === 'internal' && { reason: error.message, stack: error.stack }),
    };
    if (error.category === 'internal') context.log.error(line, 'call failed');
    else context.log.debug(line, 'call refused');
    return { status };
  } finally {
    call.off('cancelled', cancel);
    context.observe?.({ method, code, durationMs: performance.now() - startedMs });
  }
}

/** Ends a call that lasts longer than what it was let in by: a token that was taken back, has ended, or says something else now. */
function recheck(
  call: AnyCall,
  caller: Caller,
  { authenticate, recheckMs }: CallContext,
  ending: AbortController,
): Disposable {
  const look = async () => {
    const now = await authenticate(credentialsOf(call));
    if (now.workspaceId !== caller.workspaceId || now.operator !== caller.operator)
      throw new WorkerError('WORKER_UNAUTHENTICATED', 'the token or certificate has other rights now; call again');
  };
  const timer = setInterval(() => {
    look().catch((thrown: unknown) => {
      ending.abort(thrown);
    });
  }, recheckMs);
  return {
    [Symbol.dispose]: () => {
      clearInterval(timer);
    },
  };
}

/** A handler of a unary method. */
export function unary<Request, Response>(
  context: CallContext,
  handler: (request: Request, options: CallOptions) => Promise<Response>,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    void runCall(call, context, (options) => handler(call.request, options)).then((outcome) => {
      if ('status' in outcome) callback(outcome.status);
      else callback(null, outcome.result);
    });
  };
}

function credentialsOf(call: AnyCall) {
  const { metadata } = call;
  const certificate = call.getAuthContext().sslPeerCertificate;
  return {
    token: /^bearer +(?<token>\S+)$/i.exec(textOf(metadata, 'authorization') ?? '')?.groups?.['token'],
    // Without a client certificate Node gives an empty object.
    certificate: certificate?.subject === undefined ? undefined : certificate,
    workspace: textOf(metadata, 'clipyard-workspace'),
  };
}

function textOf(metadata: Metadata, key: string): string | undefined {
  const [value] = metadata.get(key);
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function isOver(deadline: Deadline): boolean {
  return Number(deadline) <= Date.now();
}
