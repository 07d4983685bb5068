import type { Config, TopLevelSpec } from 'vega-lite';
import { WorkerError } from '../../errors/index.ts';
import { bars, type Row } from './bars.ts';
import type { BenchDocument } from './document.ts';
import { mountCharts } from './mount-charts.ts';

export interface Chart {
  readonly title: string;
  readonly svg: string;
}

/** Colours that stand out from white and from black alike; text takes the page's own. */
const CONFIG: Config = {
  background: 'transparent',
  font: 'system-ui, sans-serif',
  view: { stroke: 'transparent' },
  axis: {
    labelColor: '#888',
    titleColor: '#888',
    gridColor: '#8884',
    domainColor: '#8888',
    tickColor: '#8888',
    labelLimit: 320,
  },
  legend: { labelColor: '#888', titleColor: '#888', labelLimit: 320 },
  range: { category: ['#3b82d0', '#e08a2b', '#3fa66b', '#b565c4', '#d0504f', '#8a8f3a'] },
};

/** The charts of a result as SVG texts. Throws CHARTS_UNAVAILABLE where the chart packages are not installed. */
export async function drawCharts(document: BenchDocument): Promise<readonly Chart[]> {
  const draw = await renderer();
  return await Promise.all(planned(document).map(async ({ spec, title }) => ({ title, svg: await draw(spec) })));
}

function planned(document: BenchDocument): readonly Planned[] {
  switch (document.bench) {
    case 'scale':
      return scaleCharts(document);
    case 'mount':
      return mountCharts(document);
    case 'index':
    case 'pipeline':
    case 'release':
      return contenderCharts(document);
  }
}

async function renderer(): Promise<(spec: TopLevelSpec) => Promise<string>> {
  try {
    const [vega, lite] = await Promise.all([import('vega'), import('vega-lite')]);
    return async (spec) => {
      const compiled = lite.compile({ ...spec, config: CONFIG }).spec;
      const view = new vega.View(vega.parse(compiled), { renderer: 'none', logLevel: vega.Error });
      const svg = await view.toSVG();
      view.finalize();
      // The namespaces are for files of their own; inside a page an SVG has none, and the page no address.
      return svg.replaceAll(/ xmlns(?::xlink)?="[^"]*"/g, '');
    };
  } catch (cause) {
    throw new WorkerError('CHARTS_UNAVAILABLE', 'the packages vega and vega-lite are not installed', {}, { cause });
  }
}

interface Planned {
  readonly title: string;
  readonly spec: TopLevelSpec;
}

function contenderCharts({ contenders }: BenchDocument): readonly Planned[] {
  const ran = contenders.filter(({ seconds }) => seconds !== undefined);
  const rows = (pick: (contender: (typeof ran)[number]) => number | undefined): Row[] =>
    ran.flatMap((contender) => {
      const value = pick(contender);
      return value === undefined ? [] : [{ contender: contender.id, value }];
    });
  const phases = ran.flatMap(({ id, phases: of = {} }) =>
    Object.entries(of).map(([phase, value]): Row => ({ contender: id, phase, value: value ?? 0 })),
  );
  const traffic = ran.flatMap(({ id, receivedBytes = 0, sentBytes = 0 }): Row[] => [
    { contender: id, way: 'sent', value: sentBytes / 1e6 },
    { contender: id, way: 'received', value: receivedBytes / 1e6 },
  ]);
  return [
    { title: 'Wall time: median, and the spread of the rounds', spec: timeChart(ran) },
    ...(phases.length === 0
      ? []
      : [{ title: 'Phases (those of clipyard overlap)', spec: bars(phases, 'seconds', 'phase') }]),
    {
      title: 'CPU time',
      spec: bars(
        rows(({ cpuSeconds }) => cpuSeconds?.median),
        'CPU seconds',
      ),
    },
    {
      title: 'Peak memory',
      spec: bars(
        rows(({ peakBytes }) => (peakBytes ?? 0) / 1e6),
        'MB',
      ),
    },
    { title: 'To and from the registry', spec: bars(traffic, 'MB', 'way') },
  ];
}

function timeChart(ran: BenchDocument['contenders']): TopLevelSpec {
  const values = ran.map(({ id, seconds }) => ({ contender: id, ...seconds }));
  const y = { field: 'contender', type: 'nominal', sort: null, title: null } as const;
  return {
    data: { values },
    width: 520,
    layer: [
      {
        mark: { type: 'bar', color: '#3b82d0' },
        encoding: { y, x: { field: 'median', type: 'quantitative', title: 'seconds' } },
      },
      {
        mark: { type: 'rule', color: '#888', strokeWidth: 2 },
        encoding: { y, x: { field: 'min', type: 'quantitative' }, x2: { field: 'max' } },
      },
      {
        mark: { type: 'text', align: 'left', dx: 6, color: '#888' },
        encoding: { y, x: { field: 'max', type: 'quantitative' }, text: { field: 'median', format: '.2f' } },
      },
    ],
  };
}

function scaleCharts({ points = [] }: BenchDocument): readonly Planned[] {
  const line = (series: 'bytes' | 'entries', unit: string, value: (point: (typeof points)[number]) => number) => {
    const values = points
      .filter((point) => point.series === series)
      .map((point) => ({
        x: series === 'bytes' ? point.plainBytes / 1e9 : point.entries / 1e3,
        value: value(point),
        codec: point.codec,
      }));
    return {
      data: { values },
      width: 520,
      height: 220,
      mark: { type: 'line', point: true },
      encoding: {
        x: { field: 'x', type: 'quantitative', title: series === 'bytes' ? 'GB' : 'thousand entries' },
        y: { field: 'value', type: 'quantitative', title: unit },
        color: { field: 'codec', type: 'nominal', title: null },
      },
    } as TopLevelSpec;
  };
  return (['bytes', 'entries'] as const)
    .filter((series) => points.some((point) => point.series === series))
    .flatMap((series) => [
      {
        title: `Time over ${series}: pack and assemble`,
        spec: line(series, 'seconds', ({ assemble, pack }) => pack.seconds.median + assemble.seconds.median),
      },
      {
        title: `Peak memory over ${series}`,
        spec: line(series, 'MB', ({ assemble, pack }) => Math.max(pack.peakBytes, assemble.peakBytes) / 1e6),
      },
    ]);
}
