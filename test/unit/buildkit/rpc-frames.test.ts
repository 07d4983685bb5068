import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeResponse } from '../../../src/buildkit/landing/content-reader.ts';
import { decodePayload, encodePayload } from '../../../src/buildkit/session/message-duplex.ts';
import { frameHead, readFrames } from '../../../src/buildkit/session/rpc-frames.ts';
import { ReadContentResponse } from '../../../src/gen/github.com/containerd/containerd/api/services/content/v1/content.ts';
import { BytesMessage } from '../../../src/gen/github.com/moby/buildkit/api/services/control/control.ts';

const LIMIT = 1000;
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));

async function collect(chunks: readonly Buffer[]): Promise<readonly Buffer[]> {
  const messages: Buffer[] = [];
  for await (const message of readFrames(streamOf(chunks), LIMIT)) messages.push(message);
  return messages;
}

async function* streamOf(chunks: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* chunks;
}

test('messages come out whole however the stream is cut', async () => {
  const scenario = fc.tuple(fc.array(bytes, { maxLength: 8 }), fc.integer({ min: 1, max: 50 }));
  await fc.assert(
    fc.asyncProperty(scenario, async ([messages, cut]) => {
      const stream = Buffer.concat(messages.flatMap((message) => [frameHead(message.length), message]));
      const chunks = Array.from({ length: Math.ceil(stream.length / cut) }, (_, at) =>
        stream.subarray(at * cut, (at + 1) * cut),
      );
      expect(await collect(chunks)).toEqual(messages);
    }),
  );
});

test.for<[what: string, stream: Buffer]>([
  ['compressed', Buffer.from([1, 0, 0, 0, 0])],
  ['longer than the limit', frameHead(LIMIT + 1)],
  ['cut in its head', Buffer.from([0, 0])],
  ['cut in its body', Buffer.concat([frameHead(4), Buffer.from('abc')])],
])('a message that is %s is refused', async ([, stream]) => {
  await expect(collect([stream])).rejects.toMatchObject({ code: 'BUILDKIT_PROTOCOL' });
});

test('session payloads are what the generated code reads and writes', () => {
  fc.assert(
    fc.property(fc.array(bytes, { maxLength: 4 }), (pieces) => {
      const data = Buffer.concat(pieces);
      expect(BytesMessage.decode(encodePayload(pieces)).data.equals(data)).toBe(true);
      expect(decodePayload(Buffer.from(BytesMessage.encode({ data }).finish())).equals(data)).toBe(true);
    }),
  );
});

test('content responses are what the generated code writes', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), bytes, (offset, data) => {
      const response = { offset: BigInt(offset), data };
      const decoded = decodeResponse(Buffer.from(ReadContentResponse.encode(response).finish()));
      expect(decoded.offset).toBe(response.offset);
      expect(decoded.data.equals(data)).toBe(true);
    }),
  );
});
