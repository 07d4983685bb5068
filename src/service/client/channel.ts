import { setTimeout as sleep } from 'node:timers/promises';
import { type ChannelCredentials, credentials, Metadata } from '@grpc/grpc-js';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import { callUnary, type UnaryMethod } from '../../rpc/index.ts';
import { type Trust, trusting } from '../../tls/index.ts';
import { receivedError } from '../errors/received.ts';
import { parseServer, type ServerAddress } from './address.ts';
import { backoffMs } from './backoff.ts';

export interface ChannelOptions {
  /** `host:port`, `https://host:port` or `unix:///path`. */
  readonly server: string;
  readonly token: string | undefined;
  /** Whose certificates are believed, and the client's own. */
  readonly trust: Trust;
  readonly random: () => number;
}

export const CLIENT_OPTIONS = {
  'grpc.max_receive_message_length': 64 * 1024 * 1024,
  'grpc.max_send_message_length': 16 * 1024 * 1024,
  'grpc.enable_retries': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2000,
  // A worker that vanished without a word is found out within these, also by a watch that waits.
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
} as const;

const TRIES = 4;

/** How one worker is called: where, as whom, and what its errors mean. */
export class Channel {
  readonly address: ServerAddress;
  readonly credentials: ChannelCredentials;
  readonly #options: ChannelOptions;

  /** Throws CONFIG_INVALID: a token goes over TLS or stays on this machine. */
  constructor(options: ChannelOptions) {
    this.#options = options;
    this.address = parseServer(options.server);
    if (options.token !== undefined && !this.address.tls && !this.address.local)
      throw new WorkerError(
        'CONFIG_INVALID',
        `a token is not sent in the clear to another machine; write https:// before ${options.server}`,
      );
    this.credentials = this.address.tls
      ? credentials.createFromSecureContext(trusting(options.trust))
      : credentials.createInsecure();
  }

  /** `workspaceId` is named only where it is not empty: a token knows its own. */
  metadata(workspaceId: string): Metadata {
    const metadata = new Metadata();
    if (this.#options.token !== undefined) metadata.set('authorization', `Bearer ${this.#options.token}`);
    if (workspaceId !== '') metadata.set('clipyard-workspace', workspaceId);
    return metadata;
  }

  /** Throws what the worker threw, WORKER_UNAVAILABLE when it cannot be reached. `again`: a second call does no harm. */
  async call<Request, Response>(
    method: UnaryMethod<Request, Response>,
    request: Request,
    {
      again,
      signal,
      timeoutMs,
      workspaceId,
    }: Cancelable & { readonly again: boolean; readonly timeoutMs?: number; readonly workspaceId: string },
  ): Promise<Response> {
    for (let failures = 1; ; failures++) {
      try {
        const metadata = this.metadata(workspaceId);
        return await callUnary(method, request, { metadata, signal, ...(timeoutMs !== undefined && { timeoutMs }) });
      } catch (thrown) {
        signal.throwIfAborted();
        const error = this.error(thrown);
        if (!again || error.code !== 'WORKER_UNAVAILABLE' || failures === TRIES) throw error;
        await this.pause(failures, { signal });
      }
    }
  }

  error(thrown: unknown): WorkerError {
    const { server } = this.#options;
    return receivedError(thrown, `worker at ${server}`, server.replace(/^https:\/\//, ''));
  }

  async pause(failures: number, { signal }: Cancelable): Promise<void> {
    await sleep(backoffMs(failures, this.#options.random), undefined, { signal });
  }
}
