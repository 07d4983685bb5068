import type { TopLevelSpec } from 'vega-lite';

export type Row = Readonly<Record<string, string | number>>;

/** A bar a contender, or a group of them. */
export function bars(values: readonly Row[], unit: string, group?: string): TopLevelSpec {
  return {
    data: { values: [...values] },
    width: 520,
    mark: { type: 'bar', color: '#3b82d0' },
    encoding: {
      y: { field: 'contender', type: 'nominal', sort: null, title: null },
      x: { field: 'value', type: 'quantitative', title: unit, stack: null },
      ...(group !== undefined && {
        color: { field: group, type: 'nominal' as const, title: null },
        yOffset: { field: group },
      }),
    },
  };
}
