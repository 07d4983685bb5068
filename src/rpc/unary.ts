import { Metadata, type ServiceError } from '@grpc/grpc-js';
import type { Cancelable } from '../errors/index.ts';

/** A method of a generated client, bound to it. */
export type UnaryMethod<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: { readonly deadline?: number },
  callback: (error: ServiceError | null, response: Response) => void,
) => { cancel(): void };

/** A unary call as a promise; abort cancels it and rejects with the signal's reason. */
export async function callUnary<Request, Response>(
  method: UnaryMethod<Request, Response>,
  request: Request,
  { metadata, signal, timeoutMs }: Cancelable & { readonly timeoutMs?: number; readonly metadata?: Metadata },
): Promise<Response> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  const options = timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
  const call = method(request, metadata ?? new Metadata(), options, (error, response) => {
    if (error === null) resolve(response);
    else reject(error);
  });
  const abort = () => {
    call.cancel();
  };
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await promise;
  } catch (thrown) {
    signal.throwIfAborted();
    throw thrown;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
