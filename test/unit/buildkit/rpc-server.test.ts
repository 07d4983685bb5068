import { once } from 'node:events';
import { type ClientHttp2Session, connect, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2';
import { duplexPair } from 'node:stream';
import { afterEach, expect, test } from 'vitest';
import type { RpcCall } from '../../../src/buildkit/session/rpc-call.ts';
import { frameHead } from '../../../src/buildkit/session/rpc-frames.ts';
import { closeRpc, type RpcHandler, serveRpc } from '../../../src/buildkit/session/rpc-server.ts';
import { RPC_OK } from '../../../src/buildkit/session/rpc-status.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

interface Answer {
  readonly status: string;
  readonly message: string | undefined;
  readonly bytes: Buffer;
}

function serve(handler: RpcHandler, onFailure: (failure: unknown) => void = () => undefined): ClientHttp2Session {
  const [ours, theirs] = duplexPair();
  const server = serveRpc(ours, { handlers: new Map([['/a.B/C', handler]]), onFailure });
  const client = connect('http://localhost', { createConnection: () => theirs });
  client.on('error', () => undefined);
  closers.push(() => {
    client.destroy();
    closeRpc(server);
  });
  return client;
}

async function call(
  client: ClientHttp2Session,
  path: string,
  headers: OutgoingHttpHeaders = {},
  body = Buffer.alloc(0),
): Promise<Answer> {
  const stream = client.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', ...headers });
  const trailers = new Map<string, string>();
  const keep = (received: IncomingHttpHeaders) => {
    for (const name of ['grpc-status', 'grpc-message']) {
      const value = received[name];
      if (typeof value === 'string') trailers.set(name, value);
    }
  };
  stream.on('response', keep);
  stream.on('trailers', keep);
  stream.end(body);
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  return {
    status: trailers.get('grpc-status') ?? 'none',
    message: trailers.get('grpc-message'),
    bytes: Buffer.concat(chunks),
  };
}

test('repeated headers stay apart, with commas in them, and far beyond 128 of them', async () => {
  const patterns = Array.from({ length: 500 }, (_, at) => `pattern ${at}, with a comma`);
  let seen: readonly string[] = [];
  const client = serve(async (request) => {
    seen = request.header('exclude-patterns');
    return RPC_OK;
  });
  const { status } = await call(client, '/a.B/C', { 'exclude-patterns': patterns });
  expect(status).toBe('0');
  expect(seen).toEqual(patterns);
});

test('a method that is not served is UNIMPLEMENTED', async () => {
  const { message, status } = await call(
    serve(async () => RPC_OK),
    '/a.B/Unknown',
  );
  expect([status, message]).toEqual(['12', '/a.B/Unknown is not served here']);
});

test('messages go back framed, then the status with its text escaped', async () => {
  const client = serve(async (request) => {
    for await (const message of request.messages()) await request.send(Buffer.from(`got ${message.toString()}`));
    return { code: 5, message: 'nö 100%' };
  });
  const body = Buffer.concat([frameHead(3), Buffer.from('one'), frameHead(3), Buffer.from('two')]);
  const { bytes, message, status } = await call(client, '/a.B/C', {}, body);
  expect(bytes).toEqual(Buffer.concat([frameHead(7), Buffer.from('got one'), frameHead(7), Buffer.from('got two')]));
  expect([status, message]).toEqual(['5', 'n%C3%B6 100%25']);
});

test('what a handler throws ends the call with UNKNOWN and is reported', async () => {
  const failures: unknown[] = [];
  const failure = new Error('broken');
  const client = serve(
    async () => {
      throw failure;
    },
    (thrown) => failures.push(thrown),
  );
  const { message, status } = await call(client, '/a.B/C');
  expect([status, message]).toEqual(['2', 'broken']);
  expect(failures).toEqual([failure]);
});

test('a call that the client resets is aborted and not reported', async () => {
  const failures: unknown[] = [];
  const started = Promise.withResolvers<RpcCall>();
  const ended = Promise.withResolvers<undefined>();
  const client = serve(
    async (request) => {
      started.resolve(request);
      if (!request.signal.aborted) await once(request.signal, 'abort');
      ended.resolve(undefined);
      throw new Error('gave up');
    },
    (thrown) => failures.push(thrown),
  );
  const stream = client.request({ ':method': 'POST', ':path': '/a.B/C' });
  stream.on('error', () => undefined);
  const request = await started.promise;
  stream.destroy(new Error('reset'));
  await ended.promise;
  expect(request.signal.aborted).toBe(true);
  expect(failures).toEqual([]);
});
