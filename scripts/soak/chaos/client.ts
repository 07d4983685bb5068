import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { contextTar } from '../../../src/buildkit/index.ts';
import { WorkerError } from '../../../src/errors/index.ts';
import { isEnd, type StoredEvent } from '../../../src/queue/index.ts';
import { connectWorker, type WorkerClient } from '../../../src/service/index.ts';
import { type BuildView, parseBuildSpec } from '../../../src/worker/index.ts';
import type { PlannedBuild } from './plan.ts';

export interface WatchedBuild {
  readonly planned: PlannedBuild;
  readonly build: BuildView;
  /** How it was answered; a submission that had to be made again is `repeated`. */
  readonly how: string;
  readonly events: readonly StoredEvent[];
}

/** A layer of 1 MB that compresses to nothing less, a file to know the image by, and a second in which something may happen. */
const SCRIPT = [
  '/bin/busybox dd if=/dev/urandom of=/noise bs=64k count=16 2>/dev/null',
  '/bin/busybox cat /bin/message > /copy',
  '/bin/busybox sleep 1',
].join(' && ');
const PAUSE_MS = 200;
/** After this the next worker is asked. */
const PATIENCE_MS = 1500;

/** Submits and watches through whichever worker answers, as often as it takes; what it was told it does not ask again. */
export class ChaosClient implements Disposable {
  readonly #workers: readonly WorkerClient[];
  readonly #directory: string;
  readonly #signal: AbortSignal;
  readonly #contexts = new Map<string, Promise<string>>();
  #turn = 0;
  /** Calls that had to be made again. */
  retries = 0;

  constructor(servers: readonly string[], directory: string, signal: AbortSignal) {
    this.#workers = servers.map((server) =>
      connectWorker({ server, token: undefined, trust: {}, patienceMs: PATIENCE_MS }),
    );
    this.#directory = directory;
    this.#signal = signal;
  }

  async run(planned: PlannedBuild, number: number): Promise<WatchedBuild> {
    const signal = this.#signal;
    const { imageId, workspaceId } = planned;
    const context = await this.#context(planned);
    const { build, how } = await this.#persist(async ({ builds }) => {
      const { digest } = await builds.upload(workspaceId, contextTar(context, { signal }), { signal });
      const spec = parseBuildSpec({ imageId, context: { type: 'uploaded', digest } });
      const idempotencyKey = `chaos-${number}`;
      const rest = { secrets: [], priority: undefined, maxAgeMs: undefined, timeoutMs: undefined };
      return await builds.submit(workspaceId, { spec, idempotencyKey, ...rest }, { signal });
    });
    const events: StoredEvent[] = [];
    const { buildId } = build;
    const canceled = this.#cancel(planned, buildId);
    canceled.catch(() => undefined); // thrown below
    await this.#persist(async ({ builds }) => {
      const after = events.at(-1)?.cursor ?? 0;
      for await (const event of builds.watch(workspaceId, buildId, { after, signal })) events.push(event);
    });
    await canceled;
    const ended = await this.#persist(({ builds }) => builds.get(workspaceId, buildId, { signal }));
    if (!isEnd(ended.state)) throw new Error(`the watch of build ${buildId} ended while it is ${ended.state}`);
    return { planned, build: ended, how, events };
  }

  async #cancel({ cancelAfterMs, workspaceId }: PlannedBuild, buildId: string): Promise<void> {
    const signal = this.#signal;
    if (cancelAfterMs === undefined) return;
    await sleep(cancelAfterMs, undefined, { signal });
    await this.#persist(({ builds }) => builds.cancel(workspaceId, buildId, 'chaos', { signal }));
  }

  [Symbol.dispose](): void {
    for (const worker of this.#workers) worker[Symbol.dispose]();
  }

  async #persist<T>(call: (worker: WorkerClient) => Promise<T>): Promise<T> {
    for (;;) {
      const worker = this.#workers[this.#turn++ % this.#workers.length];
      if (worker === undefined) throw new Error('no worker');
      try {
        return await call(worker);
      } catch (thrown) {
        this.#signal.throwIfAborted();
        if (!(thrown instanceof WorkerError) || !thrown.retryable) throw thrown;
        this.retries += 1;
        await sleep(PAUSE_MS, undefined, { signal: this.#signal });
      }
    }
  }

  /** A folder a message: equal messages are equal contexts. */
  #context(planned: PlannedBuild): Promise<string> {
    const made = this.#contexts.get(planned.message) ?? this.#makeContext(planned);
    this.#contexts.set(planned.message, made);
    return made;
  }

  async #makeContext({ imageId, message, workspaceId }: PlannedBuild): Promise<string> {
    const directory = join(this.#directory, `${workspaceId}-${imageId}`);
    await mkdir(directory, { recursive: true });
    await copyFile('/bin/busybox', join(directory, 'busybox'));
    await writeFile(join(directory, 'message'), message);
    const step = JSON.stringify(['/bin/busybox', 'sh', '-c', SCRIPT]);
    await writeFile(join(directory, 'Dockerfile'), `FROM scratch\nCOPY busybox message /bin/\nRUN ${step}\n`);
    return directory;
  }
}
