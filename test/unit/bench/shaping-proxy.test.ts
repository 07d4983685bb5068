import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, expect, test } from 'vitest';
import { ShapingProxy } from '../../../src/bench/link/shaping-proxy.ts';

let server: Server | undefined;

afterEach(() => server?.close());

function turned(message: string): string {
  return Buffer.from(message).reverse().toString();
}

/** Answers with what it got, turned round, when the client has ended. */
async function echo(): Promise<string> {
  server = createServer({ allowHalfOpen: true }, (socket) => {
    text(socket).then(
      (got) => socket.end(turned(got)),
      () => undefined,
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' ? `127.0.0.1:${address?.port}` : '';
}

async function ask(address: string, message: string): Promise<string> {
  const [host, port] = address.split(':');
  const socket = connect({ host, port: Number(port), allowHalfOpen: true });
  socket.end(message);
  return await text(socket);
}

test.for([undefined, { bytesPerSecond: 1e9, roundTripMs: 4 }])(
  'bytes come through whole and in order, and are counted each way (link %j)',
  async (link) => {
    await using proxy = await ShapingProxy.start(await echo(), link);
    const message = Array.from({ length: 60_000 }, (_, at) => String(at)).join('');
    const answers = await Promise.all([ask(proxy.address, message), ask(proxy.address, 'abc')]);
    expect(answers.map((answer) => answer.length)).toEqual([message.length, 3]);
    expect(answers[0] === turned(message)).toBe(true);
    expect(answers[1]).toBe('cba');
    expect(proxy.traffic()).toEqual({ sentBytes: message.length + 3, receivedBytes: message.length + 3 });
  },
);

test('without a server behind it the client sees a closed connection', async () => {
  const address = await echo();
  server?.close();
  await once(server!, 'close');
  await using proxy = await ShapingProxy.start(address);
  await expect(ask(proxy.address, 'abc').catch(() => '')).resolves.toBe('');
});
