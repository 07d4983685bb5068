import type { Explanation } from './explanation.ts';

const STYLE = `:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
td, th { padding: .25rem .75rem; text-align: right; border-bottom: 1px solid #8884 }
td:first-child, th:first-child { text-align: left; overflow-wrap: anywhere }
figure { margin: 2rem 0; overflow-x: auto } figcaption { font-weight: 600; margin-bottom: .5rem }
svg { max-width: 100%; height: auto } svg text { fill: #888; font-size: 11px }
pre { overflow-x: auto; font-size: 12px }`;

const COLOURS = { ready: '#3fa66b', cached: '#b565c4', coming: '#e08a2b', missing: '#d0504f' } as const;
const WIDTH = 820;
const SHOWN_FILES = 25;

/** One file that needs nothing else: no script, no font, no picture from anywhere. Names from the image are escaped. */
export function explanationPage(explanation: Explanation): string {
  const { advice, endUs, entry, files, layers, source, startedAt, tiers, totals, waitUs, whatIf } = explanation;
  const facts = [
    `${startedAt}${entry === '' ? '' : `, ${entry}`}`,
    `${milliseconds(endUs)} until the last new byte, ${milliseconds(waitUs)} of it waited; ${totals.wantedBytes} bytes wanted, ${totals.fetchedBytes} fetched in ${totals.requests} requests`,
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>clipyard explain ${escapeHtml(source)}</title><style>${STYLE}</style></head><body>
<h1>${escapeHtml(source)}</h1>
${facts.map((fact) => `<div>${escapeHtml(fact)}</div>`).join('\n')}
${advice.length === 0 ? '' : `<h2>Advice</h2><ul>${advice.map(({ text }) => `<li>${escapeHtml(text)}</li>`).join('')}</ul>`}
${figure('Waits over time: how long each first touch took', timelineChart(explanation))}
${figure('What the same start would have waited (simulated)', whatIfChart(explanation))}
${figure('Files that cost most', fileChart(explanation))}
${table(
  ['tier', 'touches', 'waited'],
  tiers.map((row) => [row.tier, String(row.touches), milliseconds(row.waitUs)]),
)}
${table(
  ['what if', 'requests', 'bytes', 'waits', 'waited', 'end'],
  whatIf.map(({ name, simulation: s }) => [
    name,
    String(s.requests),
    String(s.fetchedBytes),
    String(s.waits),
    milliseconds(s.waitUs),
    milliseconds(s.endUs),
  ]),
)}
${table(
  ['layer', 'mode', 'touches', 'chunks touched', 'of', 'waited', 'why not lazy'],
  layers.map((l) => [
    l.digest.slice(0, 19),
    l.mode,
    String(l.touches),
    String(l.touchedChunks),
    String(l.chunks),
    milliseconds(l.waitUs),
    l.reason ?? '',
  ]),
)}
${table(
  ['file', 'touches', 'bytes fetched', 'waited'],
  files
    .slice(0, 4 * SHOWN_FILES)
    .map((f) => [f.path, String(f.touches), String(f.storedBytes), milliseconds(f.waitUs)]),
)}
</body></html>
`;
}

function timelineChart({ endUs, timeline }: Explanation): string {
  const height = 200;
  const longest = Math.max(1, ...timeline.map(({ waitUs }) => waitUs));
  const x = (us: number) => (us / Math.max(1, endUs)) * (WIDTH - 60) + 50;
  const bars = timeline.map(({ atUs, path, tier, waitUs }) => {
    const tall = Math.max(1, (waitUs / longest) * (height - 40));
    const wide = Math.max(1, x(atUs + waitUs) - x(atUs));
    const title = escapeHtml(`${path ?? ''} ${milliseconds(waitUs)} at ${milliseconds(atUs)} (${tier})`);
    return `<rect x="${x(atUs).toFixed(1)}" y="${(height - 20 - tall).toFixed(1)}" width="${wide.toFixed(1)}" height="${tall.toFixed(1)}" fill="${COLOURS[tier]}" fill-opacity=".7"><title>${title}</title></rect>`;
  });
  const legend = Object.entries(COLOURS).map(
    ([tier, colour], at) =>
      `<rect x="${60 + at * 90}" y="2" width="10" height="10" fill="${colour}"/><text x="${74 + at * 90}" y="11">${tier}</text>`,
  );
  const labels = `<text x="0" y="30">${milliseconds(longest)}</text><text x="50" y="${height - 5}">0</text><text x="${WIDTH - 10}" y="${height - 5}" text-anchor="end">${milliseconds(endUs)}</text>`;
  return svg(height, [...legend, labels, ...bars].join(''));
}

function whatIfChart({ waitUs, whatIf }: Explanation): string {
  if (whatIf.length === 0) return '';
  const rows = [
    { name: 'this run', waitUs },
    ...whatIf.map(({ name, simulation }) => ({ name, waitUs: simulation.waitUs })),
  ];
  return barChart(rows.map((row) => ({ label: row.name, value: row.waitUs })));
}

function fileChart({ files }: Explanation): string {
  const slowest = files.slice(0, SHOWN_FILES).filter(({ waitUs }) => waitUs > 0);
  return barChart(slowest.map((file) => ({ label: file.path, value: file.waitUs })));
}

function barChart(rows: readonly { readonly label: string; readonly value: number }[]): string {
  if (rows.length === 0) return '';
  const longest = Math.max(1, ...rows.map(({ value }) => value));
  const bars = rows.map(({ label, value }, at) => {
    const [y, wide] = [at * 20, (value / longest) * (WIDTH - 440)];
    const shown = label.length > 56 ? `…${label.slice(-55)}` : label;
    return `<text x="350" y="${y + 13}" text-anchor="end">${escapeHtml(shown)}</text><rect x="356" y="${y + 3}" width="${wide.toFixed(1)}" height="13" fill="#3b82d0"/><text x="${(362 + wide).toFixed(1)}" y="${y + 13}">${milliseconds(value)}</text>`;
  });
  return svg(rows.length * 20, bars.join(''));
}

function svg(height: number, content: string): string {
  return `<svg viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">${content}</svg>`;
}

function figure(title: string, chart: string): string {
  return chart === '' ? '' : `<figure><figcaption>${escapeHtml(title)}</figcaption>${chart}</figure>`;
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return '';
  const line = (cells: readonly string[], tag: string) =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join('')}</tr>`;
  return `<table>${line(header, 'th')}${rows.map((row) => line(row, 'td')).join('')}</table>`;
}

function milliseconds(us: number): string {
  return `${(us / 1000).toFixed(us < 10_000 ? 1 : 0)} ms`;
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
