import { formatBytes } from '../../telemetry/index.ts';
import type { BuildEvent, BuildListener } from './events.ts';
import { printable } from './printable.ts';
import { stepSeconds } from './seconds.ts';

/** One line an event, as `docker build --progress=plain` prints it: `#5 [2/3] RUN …`, `#5 0.123 line`, `#5 DONE 1.2s`. */
export function plainRenderer(writeLine: (line: string) => void): BuildListener {
  return (event) => {
    const line = lineOf(event);
    if (line !== undefined) writeLine(line);
  };
}

function lineOf(event: BuildEvent): string | undefined {
  switch (event.type) {
    case 'step-started':
      return `#${event.step} ${printable(event.name)}`;
    case 'step-ended':
      return endLine(event);
    case 'log':
      return `#${event.step} ${(event.atMs / 1000).toFixed(3)} ${printable(event.text)}`;
    case 'status':
      return event.state === 'done' ? `#${event.step} ${printable(event.id)} ${amountOf(event)}done` : undefined;
    case 'warning':
      return `#${event.step} WARNING: ${printable(event.text)}${event.url === undefined ? '' : ` (${event.url})`}`;
    case 'context-synced':
      return event.entries === 0
        ? undefined
        : `${event.name}: ${event.entries} entries, ${event.filesSent} sent (${formatBytes(event.bytesSent)})`;
    case 'export-started':
      return undefined;
    case 'blob':
      return event.state === 'landed'
        ? `blob ${event.digest.slice(7, 19)} ${formatBytes(event.sizeBytes)} landed (${event.via ?? ''})`
        : undefined;
  }
}

function endLine({ durationMs, error, outcome, step }: Extract<BuildEvent, { type: 'step-ended' }>): string {
  switch (outcome) {
    case 'done':
      return `#${step} DONE ${stepSeconds(durationMs)}`;
    case 'cached':
      return `#${step} CACHED`;
    case 'canceled':
      return `#${step} CANCELED`;
    case 'failed':
      return `#${step} ERROR: ${printable(error ?? '')}`;
  }
}

function amountOf({ current, total }: { readonly current: number; readonly total: number | undefined }): string {
  if (total !== undefined) return `${formatBytes(current)} / ${formatBytes(total)} `;
  return current > 0 ? `${formatBytes(current)} ` : '';
}
