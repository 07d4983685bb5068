import type { Writable } from 'node:stream';

export { formatBytes, formatSeconds } from '../telemetry/index.ts';

/** A result: one JSON document with `--json`, else the text a person reads. */
export function writeResult(stdout: Writable, result: unknown, json: boolean, text: () => string): void {
  stdout.write(json ? `${JSON.stringify(result)}\n` : text());
}

/** Rows with aligned columns; numbers (a column whose name ends in ` >`) to the right. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const rightAligned = header.map((name) => name.endsWith(' >'));
  const titles = header.map((name) => name.replace(/ >$/, ''));
  const widths = titles.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) =>
        rightAligned[column] === true ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd();
  return `${[titles, ...rows].map(line).join('\n')}\n`;
}
