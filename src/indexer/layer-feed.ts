import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { addAbortSignal, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import pLimit from 'p-limit';
import { type Digest, isDigest } from '../digest/index.ts';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { makeDirectory } from '../files/index.ts';

export interface LayerFeedOptions extends Cancelable {
  /** Where the socket goes; made if need be, removed by the caller. */
  readonly directory: string;
  /** Blobs that flow at once. */
  readonly width: number;
  /** The bytes of a blob; whoever reads them checks them. */
  readonly open: (digest: Digest, options: Cancelable) => Promise<Readable>;
  /** Hears why a blob could not be brought, before the reader sees its connection break. */
  readonly onFailure: (reason: unknown) => void;
}

/** `sha256:` and 64 digits: nobody has more to say. */
const MAX_LINE_BYTES = 128;

/**
 * Serves blobs to `clipyard-index pack` over a unix socket: the tool connects, says a digest and a line feed, and gets the bytes to
 * their end, as fast as it reads them. Nothing touches the disk.
 */
export class LayerFeed implements AsyncDisposable {
  /** What a LayerTask names as its source. */
  readonly source: string;
  readonly #options: LayerFeedOptions;
  readonly #stack: AsyncDisposableStack;
  readonly #closing = new AbortController();
  readonly #connections = new Map<Socket, Promise<void>>();
  readonly #limit: ReturnType<typeof pLimit>;

  private constructor(source: string, stack: AsyncDisposableStack, options: LayerFeedOptions) {
    this.source = source;
    this.#stack = stack;
    this.#options = options;
    this.#limit = pLimit(options.width);
  }

  static async start(options: LayerFeedOptions): Promise<LayerFeed> {
    await using stack = new AsyncDisposableStack();
    await makeDirectory(options.directory, { mode: 0o700 });
    // An address holds 107 bytes and a state folder may lie deeper: the folder's descriptor is a short way to it (proc(5)).
    const folder = stack.use(await open(options.directory, 'r'));
    const path = `/proc/${process.pid}/fd/${folder.fd}/feed`;
    // Node would end our side by itself when a reader hangs up; pipeline() takes that for the end it asked for, and waits for ever.
    const server = createServer({ allowHalfOpen: true });
    server.listen(path);
    await once(server, 'listening', { signal: options.signal });
    stack.defer(() => closed(server));
    const feed = new LayerFeed(`socket:${path}`, stack.move(), options);
    server.on('connection', (socket) => {
      feed.#connected(socket);
    });
    return feed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    for (const socket of this.#connections.keys()) socket.destroy();
    await Promise.all(this.#connections.values());
    await this.#stack.disposeAsync();
  }

  #connected(socket: Socket): void {
    // The tool hangs up when it has seen enough, and says itself why.
    socket.on('error', () => undefined);
    if (this.#closing.signal.aborted) {
      socket.destroy(); // it stood in the listening socket's queue when the feed closed
      return;
    }
    const served = this.#serve(socket).finally(() => {
      this.#connections.delete(socket);
    });
    this.#connections.set(socket, served);
  }

  async #serve(socket: Socket): Promise<void> {
    // Who leaves takes the stream of the blob along: pipeline() would wait for its next bytes first, and keep the place.
    const left = new AbortController();
    socket.once('close', () => {
      left.abort();
    });
    const signal = AbortSignal.any([this.#options.signal, this.#closing.signal, left.signal]);
    try {
      const digest = await askedDigest(socket);
      destroyWhenLeft(socket);
      await this.#limit(async () => {
        if (signal.aborted || socket.destroyed) return;
        await pipeline(this.#bytes(digest, { signal }), socket, { signal });
      });
    } catch {
      // A blob that could not be brought was told; a reader that went away tells by itself.
    } finally {
      socket.destroySoon();
    }
  }

  async *#bytes(digest: Digest, { signal }: Cancelable): AsyncGenerator<Uint8Array> {
    try {
      const body = await this.#options.open(digest, { signal });
      // pipeline() waits for its source: a body that waits for bytes must end with the feed.
      yield* addAbortSignal(signal, body) as AsyncIterable<Uint8Array>;
    } catch (thrown) {
      if (!signal.aborted) this.#options.onFailure(thrown);
      throw thrown;
    }
  }
}

async function askedDigest(socket: Socket): Promise<Digest> {
  let line = '';
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    line += chunk.toString('latin1');
    if (line.length > MAX_LINE_BYTES || line.includes('\n')) break;
  }
  const digest = line.trim();
  if (!line.endsWith('\n') || !isDigest(digest))
    throw new WorkerError('NATIVE_TOOL_FAILED', `a reader asked for no blob: ${line.slice(0, MAX_LINE_BYTES)}`);
  return digest;
}

/** Nobody says more, but that a reader hung up is heard only by who listens. */
function destroyWhenLeft(socket: Socket): void {
  const leave = () => {
    socket.destroy();
  };
  if (socket.readableEnded) leave();
  else socket.once('end', leave).resume();
}

async function closed(server: Server): Promise<void> {
  server.close();
  await once(server, 'close');
}
