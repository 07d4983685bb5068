import { messageOf, WorkerError } from '../../errors/index.ts';
import type { RpcHandler } from './rpc-server.ts';
import { RPC_CODE, RPC_OK, type RpcStatus } from './rpc-status.ts';

interface Codec<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
}

/** A method with one request and one response. An answer that is a status (it has a `code`) refuses the call. */
export function unary<Request, Response extends object>(
  request: Pick<Codec<Request>, 'decode'>,
  response: Pick<Codec<Response>, 'encode'>,
  answer: (message: Request, signal: AbortSignal) => Promise<Response | RpcStatus>,
): RpcHandler {
  return async (call) => {
    for await (const bytes of call.messages()) {
      const result = await answer(decode(request, bytes), call.signal);
      if (isStatus(result)) return result;
      await call.send(response.encode(result).finish());
      return RPC_OK;
    }
    return { code: RPC_CODE.invalidArgument, message: 'a request was expected' };
  };
}

/** Throws BUILDKIT_PROTOCOL. */
export function decode<T>(codec: Pick<Codec<T>, 'decode'>, bytes: Uint8Array): T {
  try {
    return codec.decode(bytes);
  } catch (cause) {
    throw new WorkerError(
      'BUILDKIT_PROTOCOL',
      `a session message cannot be decoded: ${messageOf(cause)}`,
      {},
      { cause },
    );
  }
}

function isStatus(value: object): value is RpcStatus {
  return 'code' in value && 'message' in value;
}
