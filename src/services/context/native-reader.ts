import { z } from 'zod';
import type { ContextFile } from '../../buildkit/index.ts';
import { type Cancelable, toWorkerError, WorkerError } from '../../errors/index.ts';
import { findNativeTool, type NativeToolPaths, runTool } from '../../native/index.ts';
import { contextChanged, type FileReader } from './file-reader.ts';

const Digests = z.array(z.string().regex(/^[0-9a-f]{64}$/));

interface Asked {
  readonly files: readonly ContextFile[];
  readonly answer: PromiseWithResolvers<readonly string[]>;
}

/** Reads by `clipyard-hash`, on all cores; batches that are asked for side by side run side by side. */
export class NativeReader implements FileReader {
  readonly #asked = new Map<string, Asked>();
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;
  #send: (line: unknown) => void = () => undefined;
  #failure: WorkerError | undefined;
  #count = 0;

  /** Starts the tool. Throws NATIVE_TOOL_MISSING. */
  constructor(tools: NativeToolPaths, { signal }: Cancelable) {
    const path = findNativeTool('clipyard-hash', tools);
    this.#ended = this.#run(path, AbortSignal.any([signal, this.#stop.signal]));
  }

  read(files: readonly ContextFile[]): Promise<readonly string[]> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const id = String(this.#count++);
    const answer = Promise.withResolvers<readonly string[]>();
    answer.promise.catch(() => undefined); // whoever asked may have gone
    this.#asked.set(id, { files, answer });
    this.#send({
      id,
      files: files.map(({ hostPath, stats }) => [
        hostPath.toString('latin1'),
        String(stats.ino),
        String(stats.size),
        String(stats.ctimeNs),
      ]),
    });
    return answer.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }

  /** Never rejects: what goes wrong is told to who asked. */
  async #run(path: string, signal: AbortSignal): Promise<void> {
    try {
      const onStart = (send: (line: unknown) => void) => {
        this.#send = send;
      };
      for await (const event of runTool(path, [], { v: 1 }, { signal, onStart })) {
        if (event.event !== 'result') continue;
        const { answer, files } = this.#take(event.id);
        const digests = Digests.length(files.length).safeParse(event.result);
        if (!digests.success) throw new WorkerError('NATIVE_TOOL_FAILED', `${path} gave no digests of ${event.id}`);
        answer.resolve(digests.data);
      }
      throw new WorkerError('NATIVE_TOOL_FAILED', `${path} ended before it was told to`);
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  #take(id: string): Asked {
    const asked = this.#asked.get(id);
    if (asked === undefined)
      throw new WorkerError('NATIVE_TOOL_FAILED', `clipyard-hash answered what nobody asked: ${id}`);
    this.#asked.delete(id);
    return asked;
  }

  /** A file goes by its path in the context. */
  #ofFile(error: WorkerError): WorkerError {
    const { at, id } = error.details;
    const file = this.#asked.get(String(id))?.files[Number(at)];
    return error.code === 'CONTEXT_CHANGED' && file !== undefined ? contextChanged(file) : error;
  }

  #fail(thrown: unknown): void {
    this.#failure = this.#ofFile(toWorkerError(thrown, 'read the context', 'NATIVE_TOOL_FAILED'));
    for (const { answer } of this.#asked.values()) answer.reject(this.#failure);
    this.#asked.clear();
  }
}
