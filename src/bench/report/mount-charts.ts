import type { TopLevelSpec } from 'vega-lite';
import { bars, type Row } from './bars.ts';
import type { BenchDocument } from './document.ts';

/** An operation has a chart of its own: a walk and a read of everything do not share an axis. */
export function mountCharts({ contenders }: BenchDocument): readonly {
  readonly title: string;
  readonly spec: TopLevelSpec;
}[] {
  const ran = contenders.flatMap(({ id, mount }) => (mount === undefined ? [] : [{ id, mount }]));
  const names = [...new Set(ran.flatMap(({ mount }) => mount.operations.map(({ name }) => name)))];
  const operation = (name: string) =>
    ran.flatMap(({ id, mount }) => {
      const found = mount.operations.find((each) => each.name === name);
      return found === undefined ? [] : [{ id, ...found }];
    });
  return [
    {
      title: 'Until the tree can be read: median',
      spec: bars(
        ran.map(({ id, mount }): Row => ({ contender: id, value: mount.seconds.median })),
        'seconds',
      ),
    },
    ...names.map((name) => ({
      title: `${name}: from nothing to done, cold and warm on a mount`,
      spec: bars(
        operation(name).flatMap(({ coldSeconds, fromNothingSeconds, id, warmSeconds }): Row[] => [
          { contender: id, state: 'from nothing', value: fromNothingSeconds.median },
          { contender: id, state: 'cold', value: coldSeconds.median },
          { contender: id, state: 'warm', value: warmSeconds.median },
        ]),
        'seconds',
        'state',
      ),
    })),
    {
      title: 'From the registry: by the mount, then by each cold operation',
      spec: bars(
        ran.flatMap(({ id, mount }): Row[] => [
          { contender: id, for: 'mount', value: mount.receivedBytes / 1e6 },
          ...mount.operations.map(
            ({ name, receivedBytes }): Row => ({
              contender: id,
              for: name,
              value: receivedBytes / 1e6,
            }),
          ),
        ]),
        'MB',
        'for',
      ),
    },
    ...ratioCharts(contenders, names),
    {
      title: 'Memory of the serving process, at most',
      spec: bars(
        ran.map(({ id, mount }): Row => ({ contender: id, value: (mount.peakBytes ?? 0) / 1e6 })),
        'MB',
      ),
    },
  ];
}

/** A chart a peer: how many times its seconds each operation takes. */
function ratioCharts(contenders: BenchDocument['contenders'], names: readonly string[]) {
  const peers = [...new Set(contenders.flatMap(({ ratios = {} }) => Object.keys(ratios)))];
  const states = [
    { state: 'warm', title: 'warm' },
    { state: 'fromNothing', title: 'from nothing to done' },
  ] as const;
  return peers.flatMap((peer) =>
    states.map(({ state, title }) => ({
      title: `Times ${peer}, ${title}: below 1 is quicker`,
      spec: bars(
        contenders.flatMap(({ id, ratios }) =>
          names.flatMap((name): Row[] => {
            const value = ratios?.[peer]?.operations[name]?.[state];
            return value === undefined ? [] : [{ contender: id, operation: name, value }];
          }),
        ),
        'times',
        'operation',
      ),
    })),
  );
}
