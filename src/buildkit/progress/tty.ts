import { formatBytes } from '../../telemetry/index.ts';
import type { BuildEvent, BuildListener } from './events.ts';
import { printable } from './printable.ts';
import { stepSeconds } from './seconds.ts';

/** A terminal as far as it is drawn on. */
export interface TerminalOutput {
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
}

export interface TerminalRenderer extends Disposable {
  readonly listener: BuildListener;
}

export interface TerminalOptions {
  /** Milliseconds, monotonic. */
  readonly now: () => number;
}

interface RunningStep {
  readonly name: string;
  readonly startedMs: number;
  readonly statuses: Map<string, string>;
  lastLine: string | undefined;
}

const REDRAW_MS = 100;
const MAX_LIVE_ROWS = 12;
const DEFAULT_COLUMNS = 80;
const DEFAULT_ROWS = 24;
const CLEAR_BELOW = '\x1b[0J';

/**
 * A live view: finished steps scroll up as lines, running ones stand below them with their time, their newest line and
 * the bytes of their downloads, and are redrawn in place. Disposing of it leaves the finished lines.
 */
export function terminalRenderer(output: TerminalOutput, { now }: TerminalOptions): TerminalRenderer {
  const view = new LiveView(output, now);
  const timer = setInterval(() => {
    view.draw([]);
  }, REDRAW_MS);
  timer.unref();
  return {
    listener: (event) => {
      view.apply(event);
    },
    [Symbol.dispose]: () => {
      clearInterval(timer);
      view.close();
    },
  };
}

class LiveView {
  readonly #output: TerminalOutput;
  readonly #now: () => number;
  readonly #startedMs: number;
  readonly #running = new Map<number, RunningStep>();
  readonly #blobs = new Map<string, string>();
  #drawnRows = 0;
  #userSteps = 0;
  #cachedSteps = 0;

  constructor(output: TerminalOutput, now: () => number) {
    this.#output = output;
    this.#now = now;
    this.#startedMs = now();
  }

  apply(event: BuildEvent): void {
    switch (event.type) {
      case 'step-started':
        this.#running.set(event.step, {
          name: printable(event.name),
          startedMs: this.#now(),
          statuses: new Map(),
          lastLine: undefined,
        });
        break;
      case 'step-ended':
        this.#end(event);
        break;
      case 'log': {
        const step = this.#running.get(event.step);
        if (step !== undefined && event.text.trim() !== '') step.lastLine = printable(event.text);
        break;
      }
      case 'status': {
        const step = this.#running.get(event.step);
        if (event.state === 'done') step?.statuses.delete(event.id);
        else step?.statuses.set(event.id, statusText(event));
        break;
      }
      case 'warning':
        this.draw([`warning: ${printable(event.text)}`]);
        break;
      case 'blob':
        if (event.state === 'landed') this.#blobs.delete(event.digest);
        else this.#blobs.set(event.digest, `${formatBytes(event.doneBytes)} / ${formatBytes(event.sizeBytes)}`);
        break;
      case 'context-synced':
      case 'export-started':
        break;
    }
  }

  /** Prints lines that stay, and the live part below them. */
  draw(lines: readonly string[]): void {
    const columns = Math.max(20, this.#output.columns ?? DEFAULT_COLUMNS);
    const rows = Math.max(2, Math.min(MAX_LIVE_ROWS, (this.#output.rows ?? DEFAULT_ROWS) - 2));
    const live = this.#liveLines().slice(0, rows);
    const back = this.#drawnRows === 0 ? '' : `\x1b[${this.#drawnRows}A`;
    const text = [...lines, ...live].map((line) => `${cut(line, columns - 1)}\n`).join('');
    this.#output.write(`\r${back}${CLEAR_BELOW}${text}`);
    this.#drawnRows = live.length;
  }

  close(): void {
    this.#running.clear();
    this.#blobs.clear();
    const back = this.#drawnRows === 0 ? '' : `\x1b[${this.#drawnRows}A`;
    this.#output.write(`\r${back}${CLEAR_BELOW}`);
    this.#drawnRows = 0;
  }

  #end({ durationMs, isUserStep, name, outcome, step }: Extract<BuildEvent, { type: 'step-ended' }>): void {
    this.#running.delete(step);
    if (isUserStep) this.#userSteps++;
    if (isUserStep && outcome === 'cached') this.#cachedSteps++;
    const result = outcome === 'done' ? stepSeconds(durationMs) : outcome.toUpperCase();
    // Plumbing that went well is not worth a line.
    if (isUserStep || outcome === 'failed') this.draw([` ${printable(name)}  ${result}`]);
  }

  #liveLines(): readonly string[] {
    const cached = this.#cachedSteps === 0 ? '' : `, ${this.#cachedSteps} cached`;
    const head = `building ${stepSeconds(this.#now() - this.#startedMs)}, ${this.#userSteps} steps done${cached}`;
    const steps = [...this.#running.values()].flatMap(({ lastLine, name, startedMs, statuses }) => [
      ` > ${name}  ${stepSeconds(this.#now() - startedMs)}`,
      ...[...statuses.values()].slice(-3).map((text) => `     ${text}`),
      ...(lastLine === undefined ? [] : [`     ${lastLine}`]),
    ]);
    const blobs = [...this.#blobs].map(([digest, amount]) => ` > blob ${digest.slice(7, 19)}  ${amount}`);
    return [head, ...steps, ...blobs];
  }
}

function statusText({ current, id, total }: Extract<BuildEvent, { type: 'status' }>): string {
  const name = printable(id);
  if (total !== undefined) return `${name} ${formatBytes(current)} / ${formatBytes(total)}`;
  return current > 0 ? `${name} ${formatBytes(current)}` : name;
}

/** By characters; a double-width one may wrap a line, which the next redraw puts right. */
function cut(line: string, columns: number): string {
  const characters = Array.from(line);
  return characters.length <= columns ? line : `${characters.slice(0, columns - 1).join('')}…`;
}
