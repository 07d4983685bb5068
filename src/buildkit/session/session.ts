import { randomUUID } from 'node:crypto';
import type { ServerHttp2Session } from 'node:http2';
import { finished } from 'node:stream/promises';
import { Metadata } from '@grpc/grpc-js';
import { messageOf, WorkerError } from '../../errors/index.ts';
import type { ControlClient } from '../../gen/github.com/moby/buildkit/api/services/control/control.ts';
import { decodePayload, encodePayload, MessageDuplex } from './message-duplex.ts';
import { closeRpc, type RpcHandler, serveRpc } from './rpc-server.ts';

const SESSION = '/moby.buildkit.v1.Control/Session';

export interface SessionOptions {
  readonly handlers: ReadonlyMap<string, RpcHandler>;
  /** Stable for a context directory: lets the daemon keep its copy and ask only for what changed. */
  readonly sharedKey: string;
  readonly onFailure: (failure: unknown, method: string) => void;
}

/** Our side of a build: the daemon calls the handlers over one stream of `Control.Session`. */
export class Session implements AsyncDisposable {
  readonly id = randomUUID();
  /** Aborted with BUILDKIT_SESSION_LOST when the stream ends before `dispose`. */
  readonly lost: AbortSignal;
  readonly #transport: MessageDuplex;
  readonly #rpc: ServerHttp2Session;
  readonly #ended: Promise<void>;
  #closing = false;

  constructor(control: ControlClient, { handlers, sharedKey, onFailure }: SessionOptions) {
    const metadata = new Metadata();
    metadata.set('x-docker-expose-session-uuid', this.id);
    metadata.set('x-docker-expose-session-name', 'clipyard');
    metadata.set('x-docker-expose-session-sharedkey', sharedKey);
    for (const method of handlers.keys()) metadata.add('x-docker-expose-session-grpc-method', method);
    const stream = control.makeBidiStreamRequest(SESSION, encodePayload, decodePayload, metadata);
    this.#transport = new MessageDuplex(stream);
    this.#rpc = serveRpc(this.#transport, { handlers, onFailure });
    const lost = new AbortController();
    this.lost = lost.signal;
    this.#ended = finished(this.#transport).then(
      () => {
        this.#onEnd(lost, 'the daemon closed it');
      },
      (thrown: unknown) => {
        this.#onEnd(lost, messageOf(thrown), thrown);
      },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    closeRpc(this.#rpc);
    this.#transport.destroy();
    await this.#ended;
  }

  #onEnd(lost: AbortController, why: string, cause?: unknown): void {
    if (this.#closing) return;
    lost.abort(new WorkerError('BUILDKIT_SESSION_LOST', `the session with buildkitd broke: ${why}`, {}, { cause }));
    closeRpc(this.#rpc);
  }
}
