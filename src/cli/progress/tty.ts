import { terminalRenderer } from '../../buildkit/index.ts';
import type { UntimedJobEvent } from '../../jobs/index.ts';
import { formatBytes } from '../output.ts';
import { jobLine } from './job-lines.ts';
import type { Progress, ProgressOutput } from './progress.ts';

const CLEAR_LINE = '\r\x1b[2K';
const REDRAW_MS = 100;

/** A live view: BuildKit's steps while they run, then one line a finished thing above a status line that is redrawn. */
export function ttyProgress(stderr: ProgressOutput): Progress {
  const steps = terminalRenderer(stderr, { now: () => performance.now() });
  const status = new StatusLine(stderr);
  let building = true;
  const stopBuilding = () => {
    if (!building) return;
    building = false;
    steps[Symbol.dispose]();
  };
  return {
    report: (event) => {
      if (event.type === 'buildkit') {
        if (building) steps.listener(event.event);
        return;
      }
      if (event.type === 'phase' && event.phase === 'building' && event.state === 'ended') stopBuilding();
      if (!building) status.apply(event);
    },
    [Symbol.dispose]: () => {
      stopBuilding();
      status.clear();
    },
  };
}

interface Amount {
  readonly done: number;
  readonly total: number | undefined;
}

class StatusLine {
  readonly #output: ProgressOutput;
  readonly #packing = new Map<string, Amount>();
  readonly #pushing = new Map<string, Amount>();
  #drawnAt = 0;

  constructor(output: ProgressOutput) {
    this.#output = output;
  }

  apply(event: UntimedJobEvent): void {
    if (event.type === 'packing') this.#packing.set(event.id, { done: event.doneBytes, total: event.totalBytes });
    if (event.type === 'pushing') this.#pushing.set(event.digest, { done: event.doneBytes, total: event.totalBytes });
    const line = jobLine(event);
    if (line !== undefined) this.#output.write(`${CLEAR_LINE}${line}\n`);
    else if (performance.now() - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = performance.now();
    const text = [amountText('packing', this.#packing), amountText('pushing', this.#pushing)]
      .filter(Boolean)
      .join(' · ');
    this.#output.write(`${CLEAR_LINE}${text.slice(0, (this.#output.columns ?? 80) - 1)}`);
  }

  clear(): void {
    this.#output.write(CLEAR_LINE);
  }
}

function amountText(name: string, parts: ReadonlyMap<string, Amount>): string {
  if (parts.size === 0) return '';
  const amounts = [...parts.values()];
  const done = amounts.reduce((sum, amount) => sum + amount.done, 0);
  const total = amounts.reduce((sum, amount) => sum + (amount.total ?? amount.done), 0);
  return done >= total ? '' : `${name} ${formatBytes(done)} of ${formatBytes(total)}`;
}
