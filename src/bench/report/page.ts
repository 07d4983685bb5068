import type { Chart } from './charts.ts';
import type { BenchDocument } from './document.ts';

export interface PageTable {
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

const STYLE = `:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
td, th { padding: .25rem .75rem; text-align: right; border-bottom: 1px solid #8884 }
td:first-child, th:first-child { text-align: left }
figure { margin: 2rem 0; overflow-x: auto } figcaption { font-weight: 600; margin-bottom: .5rem }
svg { max-width: 100%; height: auto }
pre { overflow-x: auto; font-size: 12px }`;

/** One file that needs nothing else: no script, no font, no picture from anywhere. */
export function renderPage(
  document: BenchDocument,
  { charts, tables }: { readonly charts: readonly Chart[]; readonly tables: readonly PageTable[] },
): string {
  const { bench, contenders, input, link, machine, rounds, startedAt } = document;
  const asked = Object.entries(input).map(([name, value]) => `${name} ${value}`);
  const facts = [
    startedAt,
    `${machine.cores} × ${machine.cpu}, ${(machine.memoryBytes / 1e9).toFixed(0)} GB, Linux ${machine.kernel}, Node ${machine.node}`,
    `${asked.join(', ')}; ${rounds} rounds in turn`,
    ...(link === undefined
      ? []
      : [`link ${(link.bytesPerSecond * 8) / 1e6} Mbit/s each way, round trip ${link.roundTripMs} ms`]),
  ];
  const legend = contenders.map(
    ({ id, title, unavailable }) =>
      `<li><b>${escapeHtml(id)}</b>: ${escapeHtml(title)}${unavailable === undefined ? '' : ` — not available: ${escapeHtml(unavailable)}`}</li>`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>clipyard bench ${bench}</title><style>${STYLE}</style></head><body>
<h1>clipyard bench ${bench}</h1>
${facts.map((fact) => `<div>${escapeHtml(fact)}</div>`).join('\n')}
<ul>${legend.join('')}</ul>
${tables.map(renderTable).join('\n')}
${charts.map(({ svg, title }) => `<figure><figcaption>${escapeHtml(title)}</figcaption>${svg}</figure>`).join('\n')}
<details><summary>JSON</summary><pre>${escapeHtml(JSON.stringify(document, undefined, 1))}</pre></details>
</body></html>
`;
}

function renderTable({ header, rows }: PageTable): string {
  const line = (cells: readonly string[], tag: string) =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join('')}</tr>`;
  return `<table>${line(header, 'th')}${rows.map((row) => line(row, 'td')).join('')}</table>`;
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
