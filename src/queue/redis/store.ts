import { createHash } from 'node:crypto';
import { Redis } from 'ioredis';
import { type Cancelable, messageOf, WorkerError } from '../../errors/index.ts';
import { Bell } from '../bell.ts';
import { type ScriptName, scriptOf } from './lua/index.ts';

const SCHEMA_VERSION = '1';

/** `prefix` tells queues of one server apart; its hash tag keeps a queue in one slot of a cluster. */
export interface StoreAddress {
  readonly url: string;
  readonly prefix: string;
}

export interface JobBells {
  /** Anything happened to the job. */
  readonly told: Bell;
  /** It was canceled, ended or went back. */
  readonly moved: Bell;
}

/** Waits for a promise no longer than a signal allows. */
async function unlessAborted<T>(pending: Promise<T>, { signal }: Cancelable): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => {
    reject(signal.reason as Error);
  };
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([pending, promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** The scripts of a queue on one server, and bells that ring for what any process changed there. */
export class Store {
  readonly name: string;
  readonly keys: string;
  /** A job came, was canceled, ended or went back. */
  readonly moved = new Bell();
  readonly #listening = new Map<string, JobBells & { users: number }>();
  readonly #redis: Redis;
  readonly #subscriber: Redis;
  readonly #closed = new AbortController();
  readonly #digests = new Map<ScriptName, string>();

  private constructor({ url, prefix }: StoreAddress) {
    const { protocol, host, pathname } = new URL(url);
    this.name = `${protocol}//${host}${pathname}`;
    this.keys = `{${prefix}}:`;
    // Commands wait while the server restarts; who cannot wait has a signal.
    this.#redis = new Redis(url, {
      lazyConnect: true,
      maxRetriesPerRequest: null,
      retryStrategy: (times) => Math.min(50 * times, 1000),
    });
    this.#subscriber = this.#redis.duplicate();
    for (const connection of [this.#redis, this.#subscriber]) connection.on('error', () => undefined);
  }

  static async open(address: StoreAddress): Promise<Store> {
    const store = new Store(address);
    try {
      await store.#connect();
      return store;
    } catch (error) {
      store.close();
      throw store.#failed(error);
    }
  }

  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  get redis(): Redis {
    return this.#redis;
  }

  key(name: string, id?: string): string {
    return `${this.keys}${name}${id === undefined ? '' : `:${id}`}`;
  }

  /** Runs a script. The server may run it even when the signal ends the wait, so each may be sent twice. */
  async call(name: ScriptName, args: object, options: Cancelable): Promise<unknown> {
    return await this.do(() => this.#run(name, JSON.stringify(args)), options);
  }

  /** Errors of the client become ours. */
  async do<T>(work: () => Promise<T>, options: Cancelable): Promise<T> {
    const signal = AbortSignal.any([options.signal, this.#closed.signal]);
    signal.throwIfAborted();
    try {
      return await unlessAborted(work(), { signal });
    } catch (error) {
      signal.throwIfAborted();
      throw this.#failed(error);
    }
  }

  /** Bells for one job, until they are disposed. */
  listen(jobId: string): Disposable & JobBells {
    const bells = this.#listening.get(jobId) ?? { told: new Bell(), moved: new Bell(), users: 0 };
    bells.users += 1;
    this.#listening.set(jobId, bells);
    return {
      ...bells,
      [Symbol.dispose]: () => {
        bells.users -= 1;
        if (bells.users === 0) this.#listening.delete(jobId);
      },
    };
  }

  close(): void {
    this.#closed.abort(new WorkerError('QUEUE_UNAVAILABLE', `${this.name} was closed`));
    this.#redis.disconnect();
    this.#subscriber.disconnect();
  }

  async #connect(): Promise<void> {
    await Promise.all([this.#redis.connect(), this.#subscriber.connect()]);
    await this.#checkEviction();
    await this.#redis.setnx(this.key('schema'), SCHEMA_VERSION);
    const version = await this.#redis.get(this.key('schema'));
    if (version !== SCHEMA_VERSION)
      throw new WorkerError(
        'QUEUE_CORRUPT',
        `${this.name} has schema ${String(version)}; this program knows ${SCHEMA_VERSION}`,
      );
    const [told, moved] = [this.key('told'), this.key('moved')];
    this.#subscriber.on('message', (channel: string, jobId: string) => {
      const bells = this.#listening.get(jobId);
      bells?.told.ring();
      if (channel !== moved) return;
      bells?.moved.ring();
      this.moved.ring();
    });
    // What was told while the connection was away is not told again.
    this.#subscriber.on('ready', () => {
      this.moved.ring();
      for (const bells of this.#listening.values()) {
        bells.told.ring();
        bells.moved.ring();
      }
    });
    await this.#subscriber.subscribe(told, moved);
  }

  /** A server that evicts keys under pressure would lose builds. */
  async #checkEviction(): Promise<void> {
    const memory = await this.#redis.info('memory');
    const policy = /^maxmemory_policy:(\S+)/m.exec(memory)?.[1];
    if (policy === undefined || policy === 'noeviction') return;
    throw new WorkerError('CONFIG_INVALID', `${this.name}: maxmemory-policy is ${policy}; a queue needs noeviction`);
  }

  async #run(name: ScriptName, args: string): Promise<unknown> {
    const script = scriptOf(name);
    const digest = this.#digests.get(name) ?? createHash('sha1').update(script).digest('hex');
    this.#digests.set(name, digest);
    try {
      return await this.#redis.evalsha(digest, 1, this.keys, args);
    } catch (error) {
      if (!messageOf(error).startsWith('NOSCRIPT')) throw error;
      return await this.#redis.eval(script, 1, this.keys, args);
    }
  }

  #failed(error: unknown): unknown {
    if (error instanceof WorkerError) return error;
    const message = messageOf(error);
    const corrupt = message.startsWith('WRONGTYPE') || message.includes('user_script:');
    const code = corrupt ? 'QUEUE_CORRUPT' : 'QUEUE_UNAVAILABLE';
    return new WorkerError(code, `queue ${this.name}: ${message}`, { address: this.name }, { cause: error });
  }
}
