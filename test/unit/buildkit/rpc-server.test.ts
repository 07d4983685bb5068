import { once } from 'node:events';
import { expect, test } from 'vitest';
import type { RpcCall } from '../../../src/buildkit/session/rpc-call.ts';
import type { RpcHandler } from '../../../src/buildkit/session/rpc-server.ts';
import { RPC_OK } from '../../../src/buildkit/session/rpc-status.ts';
import { TestDaemon } from './rpc-client.ts';

const METHOD = '/a.B/C';
const serving = (handler: RpcHandler) => new TestDaemon(new Map([[METHOD, handler]]));

test('repeated headers stay apart, with commas in them, and far beyond 128 of them', async () => {
  const patterns = Array.from({ length: 500 }, (_, at) => `pattern ${at}, with a comma`);
  let seen: readonly string[] = [];
  using daemon = serving(async (call) => {
    seen = call.header('exclude-patterns');
    return RPC_OK;
  });
  const { status } = await daemon.call(METHOD, { 'exclude-patterns': patterns });
  expect(status).toBe('0');
  expect(seen).toEqual(patterns);
});

test('a method that is not served is UNIMPLEMENTED', async () => {
  using daemon = serving(async () => RPC_OK);
  const { message, status } = await daemon.call('/a.B/Unknown');
  expect([status, message]).toEqual(['12', '/a.B/Unknown is not served here']);
});

test('messages go back framed, then the status with its text escaped', async () => {
  using daemon = serving(async (call) => {
    for await (const message of call.messages()) await call.send(Buffer.from(`got ${message.toString()}`));
    return { code: 5, message: 'nö 100%' };
  });
  const { message, messages, status } = await daemon.call(METHOD, {}, [Buffer.from('one'), Buffer.from('two')]);
  expect(messages.map(String)).toEqual(['got one', 'got two']);
  expect([status, message]).toEqual(['5', 'n%C3%B6 100%25']);
});

test('an answer may come before the client has closed its side', async () => {
  using daemon = serving(async (call) => {
    await call.messages().next();
    return { code: 6, message: 'here already' };
  });
  const call = daemon.open(METHOD);
  call.send(Buffer.from('x'));
  expect((await call.finish()).status).toBe('6');
});

test('what a handler throws ends the call with UNKNOWN and is reported', async () => {
  const failure = new Error('broken');
  using daemon = serving(async () => {
    throw failure;
  });
  const { message, status } = await daemon.call(METHOD);
  expect([status, message]).toEqual(['2', 'broken']);
  expect(daemon.failures).toEqual([failure]);
});

test('a call that the client resets is aborted and not reported', async () => {
  const started = Promise.withResolvers<RpcCall>();
  const ended = Promise.withResolvers<undefined>();
  using daemon = serving(async (call) => {
    started.resolve(call);
    if (!call.signal.aborted) await once(call.signal, 'abort');
    ended.resolve(undefined);
    throw new Error('gave up');
  });
  const { stream } = daemon.open(METHOD);
  const call = await started.promise;
  stream.destroy(new Error('reset'));
  await ended.promise;
  expect(call.signal.aborted).toBe(true);
  expect(daemon.failures).toEqual([]);
});
