import { WorkerError } from '../../errors/index.ts';

/** gRPC over HTTP/2, "Length-Prefixed-Message": a compression flag, a 32-bit length, the message. */
export const FRAME_HEAD_BYTES = 5;

/** The head of a message of that length. */
export function frameHead(lengthBytes: number): Buffer {
  const head = Buffer.allocUnsafe(FRAME_HEAD_BYTES);
  head.writeUInt8(0, 0);
  head.writeUInt32BE(lengthBytes, 1);
  return head;
}

/** Cuts a byte stream into messages. Throws BUILDKIT_PROTOCOL on compression, on too long a message, on a cut one. */
export async function* readFrames(
  source: AsyncIterable<Buffer>,
  maxMessageBytes: number,
): AsyncGenerator<Buffer, void> {
  let parts: Buffer[] = [];
  let held = 0;
  let needed = FRAME_HEAD_BYTES;
  for await (const chunk of source) {
    parts.push(chunk);
    held += chunk.length;
    if (held < needed) continue;
    let buffer = parts.length === 1 ? chunk : Buffer.concat(parts, held);
    while (buffer.length >= FRAME_HEAD_BYTES) {
      const lengthBytes = messageLength(buffer, maxMessageBytes);
      const end = FRAME_HEAD_BYTES + lengthBytes;
      if (buffer.length < end) break;
      yield buffer.subarray(FRAME_HEAD_BYTES, end);
      buffer = buffer.subarray(end);
    }
    needed =
      buffer.length < FRAME_HEAD_BYTES ? FRAME_HEAD_BYTES : FRAME_HEAD_BYTES + messageLength(buffer, maxMessageBytes);
    parts = buffer.length === 0 ? [] : [buffer];
    held = buffer.length;
  }
  if (held > 0)
    throw new WorkerError('BUILDKIT_PROTOCOL', `a session call ended inside a message, after ${held} bytes`);
}

function messageLength(buffer: Buffer, maxMessageBytes: number): number {
  if (buffer.readUInt8(0) !== 0) throw new WorkerError('BUILDKIT_PROTOCOL', 'a session call came compressed');
  const lengthBytes = buffer.readUInt32BE(1);
  if (lengthBytes > maxMessageBytes) {
    throw new WorkerError(
      'BUILDKIT_PROTOCOL',
      `a session message of ${lengthBytes} bytes, at most ${maxMessageBytes} are taken`,
    );
  }
  return lengthBytes;
}
