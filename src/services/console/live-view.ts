import type { Writable } from 'node:stream';
import type { UntimedJobEvent } from '../../jobs/index.ts';
import { formatBytes } from '../../telemetry/index.ts';

const REDRAW_MS = 100;
const SPINNER = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

interface Running {
  readonly service: string;
  readonly startedMs: number;
  doing: string;
  step: string;
  readonly packedBytes: Map<string, number>;
  readonly pushedBytes: Map<string, number>;
}

export interface LiveViewOptions {
  readonly output: Writable & { readonly columns?: number };
  readonly now: () => number;
}

/** On a terminal: below the lines that stay, a line for each service that is being built, redrawn in place. */
export class LiveView implements Disposable {
  readonly #options: LiveViewOptions;
  readonly #running = new Map<string, Running>();
  #drawnLines = 0;
  #drawnAtMs = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LiveViewOptions) {
    this.#options = options;
  }

  start(service: string): void {
    const startedMs = this.#options.now();
    const counters = { packedBytes: new Map<string, number>(), pushedBytes: new Map<string, number>() };
    this.#running.set(service, { service, startedMs, doing: 'starting', step: '', ...counters });
    this.#timer ??= setInterval(() => {
      this.#draw();
    }, REDRAW_MS).unref();
    this.#draw();
  }

  apply(service: string, event: UntimedJobEvent): void {
    const running = this.#running.get(service);
    if (running === undefined) return;
    if (event.type === 'phase' && event.state === 'started') running.doing = event.phase;
    if (event.type === 'packing') running.packedBytes.set(event.id, event.doneBytes);
    if (event.type === 'pushing') running.pushedBytes.set(event.digest, event.doneBytes);
    if (event.type === 'buildkit' && event.event.type === 'step-started') running.step = event.event.name;
    if (this.#options.now() - this.#drawnAtMs >= REDRAW_MS) this.#draw();
  }

  end(service: string): void {
    this.#running.delete(service);
    if (this.#running.size === 0) this.#stop();
    else this.#draw();
  }

  /** Writes what stays, above the lines of the view. */
  aside(write: () => void): void {
    this.#clear();
    write();
    this.#draw();
  }

  [Symbol.dispose](): void {
    this.#running.clear();
    this.#stop();
  }

  #stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#clear();
  }

  #clear(): void {
    if (this.#drawnLines > 0) this.#options.output.write(`\r\x1b[${this.#drawnLines}A\x1b[0J`);
    this.#drawnLines = 0;
  }

  #draw(): void {
    this.#clear();
    const { now, output } = this.#options;
    this.#drawnAtMs = now();
    const width = (output.columns ?? 80) - 1;
    const sign = SPINNER[Math.floor(this.#drawnAtMs / REDRAW_MS) % SPINNER.length] ?? '';
    const lines = [...this.#running.values()].map((each) => this.#lineOf(each, sign).slice(0, width));
    if (lines.length > 0) output.write(`${lines.join('\n')}\n`);
    this.#drawnLines = lines.length;
  }

  #lineOf({ doing, packedBytes, pushedBytes, service, startedMs, step }: Running, sign: string): string {
    const seconds = ((this.#options.now() - startedMs) / 1000).toFixed(0);
    const sum = (amounts: ReadonlyMap<string, number>) => [...amounts.values()].reduce((all, each) => all + each, 0);
    const [packed, pushed] = [sum(packedBytes), sum(pushedBytes)];
    const parts = [
      `${sign} ${service}  ${doing} ${seconds} s`,
      doing === 'building' ? step.replaceAll(/\p{Cc}/gu, ' ') : '',
      packed > 0 ? `packed ${formatBytes(packed)}` : '',
      pushed > 0 ? `pushed ${formatBytes(pushed)}` : '',
    ];
    return parts.filter((part) => part !== '').join(' · ');
  }
}
