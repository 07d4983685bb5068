import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { type Cancelable, isErrorCode, messageOf, WorkerError } from '../errors/index.ts';

/** What a mount did so far, as the daemon counts it. `fetchedBytes` are compressed bytes from the registry. */
export const MountStat = z
  .object({
    wantedBytes: z.number(),
    fetchedBytes: z.number(),
    requests: z.number(),
    chunksVerified: z.number(),
    cacheHits: z.number(),
    layers: z.array(z.object({ diffId: z.string(), mode: z.string(), reason: z.string().optional() }).loose()),
  })
  .loose();
export type MountStat = z.infer<typeof MountStat>;

const Answer = z.union([z.object({ code: z.string(), message: z.string() }), z.record(z.string(), z.unknown())]);

/** A daemon answers in milliseconds; one that hangs must not hang whoever asks. */
const ANSWER_DEADLINE_MS = 30_000;

/** Asks a mount's daemon one question over its control socket. Throws MOUNT_NOT_FOUND when nobody listens or answers. */
export async function askDaemon(
  socketPath: string,
  question: { readonly op: 'stat' | 'unmount' },
  { signal }: Cancelable,
): Promise<unknown> {
  const socket = connect(socketPath);
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_DEADLINE_MS)]);
  const abort = () => socket.destroy(new Error('no answer in time'));
  deadline.addEventListener('abort', abort, { once: true });
  try {
    await once(socket, 'connect', { signal: deadline });
    socket.write(`${JSON.stringify(question)}\n`);
    for await (const line of createInterface({ input: socket })) {
      const answer = Answer.parse(JSON.parse(line));
      if (typeof answer['code'] === 'string') {
        throw new WorkerError(isErrorCode(answer['code']) ? answer['code'] : 'MOUNT_FAILED', String(answer['message']));
      }
      return answer;
    }
  } catch (thrown) {
    signal.throwIfAborted();
    if (thrown instanceof WorkerError) throw thrown;
    throw new WorkerError(
      'MOUNT_NOT_FOUND',
      `no mount daemon answers at ${socketPath}: ${messageOf(thrown)}`,
      {},
      { cause: thrown },
    );
  } finally {
    deadline.removeEventListener('abort', abort);
    socket.destroy();
  }
  throw new WorkerError('MOUNT_NOT_FOUND', `the mount daemon at ${socketPath} closed without an answer`);
}
