import { constants, performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { Duplex } from 'node:stream';
import { messageOf, WorkerError } from '../../errors/index.ts';
import { RpcCall } from './rpc-call.ts';
import { RPC_CODE, RPC_OK, type RpcStatus } from './rpc-status.ts';

/** Answers one call; what it throws ends the call with UNKNOWN and is reported. */
export type RpcHandler = (call: RpcCall) => Promise<RpcStatus>;

export interface RpcServerOptions {
  /** By full method name, `/package.Service/Method`. */
  readonly handlers: ReadonlyMap<string, RpcHandler>;
  /** Told of every handler that threw, unless the daemon had given the call up. */
  readonly onFailure: (failure: unknown, path: string) => void;
}

/** With Node's 64 KiB the daemon would wait for us 16 times in each MiB of a blob that comes through the session. */
const WINDOW_BYTES = 4 * 1024 * 1024;
/** Each pattern of a `.dockerignore` and each COPY source is a header of its own; Node's default stops at 128 pairs. */
const MAX_HEADER_PAIRS = 1 << 20;
const MAX_HEADER_BYTES = 64 * 1024 * 1024;

/**
 * Serves gRPC on a byte stream whose other end is the client. Written on node:http2 and not on grpc-js, whose server joins
 * repeated headers into one ambiguous value, refuses more than 128 of them, and sends each message as its own write.
 */
export function serveRpc(transport: Duplex, { handlers, onFailure }: RpcServerOptions): ServerHttp2Session {
  const session = performServerHandshake(transport, {
    settings: { initialWindowSize: WINDOW_BYTES, maxHeaderListSize: MAX_HEADER_BYTES },
    maxHeaderListPairs: MAX_HEADER_PAIRS,
    maxSessionMemory: 1024, // in MB: header lists and windows of many parallel blobs
  });
  session.setLocalWindowSize(WINDOW_BYTES);
  session.on('error', () => undefined); // the owner of the transport sees it end
  session.on(
    'stream',
    (stream: ServerHttp2Stream, _headers: unknown, _flags: unknown, rawHeaders: readonly string[]) => {
      stream.on('error', () => undefined); // seen by the call's signal
      const call = new RpcCall(stream, groupHeaders(rawHeaders));
      void answer(stream, call, handlers.get(call.path), onFailure);
    },
  );
  return session;
}

async function answer(
  stream: ServerHttp2Stream,
  call: RpcCall,
  handler: RpcHandler | undefined,
  onFailure: RpcServerOptions['onFailure'],
): Promise<void> {
  let status: RpcStatus;
  try {
    if (handler === undefined) {
      endWith(stream, { code: RPC_CODE.unimplemented, message: `${call.path} is not served here` });
      return;
    }
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    status = await handler(call);
    await call.flush();
  } catch (thrown) {
    if (!call.signal.aborted) onFailure(thrown, call.path);
    status = {
      code: thrown instanceof WorkerError && thrown.code === 'CANCELED' ? RPC_CODE.canceled : RPC_CODE.unknown,
      message: messageOf(thrown),
    };
  }
  finish(stream, status);
}

/** A refusal before any message is one block of headers (gRPC over HTTP/2, "Trailers-Only"). */
function endWith(stream: ServerHttp2Stream, status: RpcStatus): void {
  if (stream.destroyed || stream.closed) return;
  stream.respond({ ':status': 200, 'content-type': 'application/grpc', ...trailersOf(status) }, { endStream: true });
  drain(stream);
}

function finish(stream: ServerHttp2Stream, status: RpcStatus): void {
  if (stream.destroyed || stream.closed) return;
  stream.once('wantTrailers', () => {
    stream.sendTrailers(trailersOf(status));
    drain(stream);
  });
  stream.end();
}

/** The rest of what the daemon sends is dropped; without a reader the stream would never close. */
function drain(stream: ServerHttp2Stream): void {
  if (!stream.readableEnded) stream.resume();
}

function trailersOf({ code, message }: RpcStatus): Record<string, string> {
  return { 'grpc-status': String(code), ...(code === RPC_OK.code ? {} : { 'grpc-message': percentEncoded(message) }) };
}

/** gRPC over HTTP/2, "Status-Message": bytes outside space to tilde, and the percent sign, are escaped. */
function percentEncoded(text: string): string {
  return [...Buffer.from(text)]
    .map((byte) =>
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
    )
    .join('');
}

function groupHeaders(raw: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const headers = new Map<string, string[]>();
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const [name = '', value = ''] = [raw[at], raw[at + 1]];
    const values = headers.get(name);
    if (values === undefined) headers.set(name, [value]);
    else values.push(value);
  }
  return headers;
}

/** Ends the HTTP/2 session under it at once; every open call is aborted. */
export function closeRpc(session: ServerHttp2Session): void {
  if (!session.destroyed) session.destroy(undefined, constants.NGHTTP2_NO_ERROR);
}
