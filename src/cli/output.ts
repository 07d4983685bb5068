import type { Writable } from 'node:stream';

/** A result: one JSON document with `--json`, else the text a person reads. */
export function writeResult(stdout: Writable, result: unknown, json: boolean, text: () => string): void {
  stdout.write(json ? `${JSON.stringify(result)}\n` : text());
}

/** `12.3 MB`: decimal units, as registries and disks count. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value.toFixed(0) : value.toFixed(value < 10 ? 2 : 1)} ${units[unit] ?? ''}`;
}

export function formatSeconds(durationMs: number): string {
  return `${(durationMs / 1000).toFixed(durationMs < 10_000 ? 2 : 1)} s`;
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
