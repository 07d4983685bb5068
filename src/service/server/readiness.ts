import { EventEmitter } from 'node:events';
import { WorkerError } from '../../errors/index.ts';

/** Whether the server takes new work; health checks tell it to load balancers. */
export class Readiness {
  #ready = true;
  readonly #changes = new EventEmitter<{ changed: [] }>().setMaxListeners(0);

  get ready(): boolean {
    return this.#ready;
  }

  set(ready: boolean): void {
    if (ready === this.#ready) return;
    this.#ready = ready;
    this.#changes.emit('changed');
  }

  /** Throws WORKER_DRAINING. */
  assertReady(): void {
    if (!this.#ready) throw new WorkerError('WORKER_DRAINING', 'the worker drains and takes nothing new');
  }

  /** Says when readiness changes, until it is disposed of. */
  onChange(listener: () => void): Disposable {
    this.#changes.on('changed', listener);
    return { [Symbol.dispose]: () => this.#changes.off('changed', listener) };
  }
}
