import type { BenchDocument, MountResult, PageTable } from '../../bench/index.ts';
import { formatBytes } from '../output.ts';

/** What a person reads of `bench mount`: the mounts, then a table of seconds and one of bytes with a column an operation. */
export function mountTables({ contenders }: BenchDocument): readonly PageTable[] {
  const ran = contenders.flatMap(({ id, mount }) => (mount === undefined ? [] : [{ id, mount }]));
  const names = ran[0]?.mount.operations.map(({ name }) => name) ?? [];
  const bytes = (value: number | undefined) => (value === undefined ? '–' : formatBytes(value));
  return [
    {
      header: ['contender', 'until mounted s', 'min – max s', 'of it serving s', 'received', 'memory', 'peak'],
      rows: contenders.map(({ id, mount, unavailable = '' }) =>
        mount === undefined
          ? [id, `not available: ${unavailable}`]
          : [
              id,
              mount.seconds.median.toFixed(3),
              `${mount.seconds.min.toFixed(3)} – ${mount.seconds.max.toFixed(3)}`,
              mount.servedSeconds?.median.toFixed(4) ?? '–',
              bytes(mount.receivedBytes),
              bytes(mount.mountedBytes),
              bytes(mount.peakBytes),
            ],
      ),
    },
    {
      header: ['cold / warm s', ...names],
      rows: ran.map(({ id, mount }) => [id, ...cells(mount, names, secondsOf)]),
    },
    {
      header: ['from nothing s', ...names],
      rows: ran.map(({ id, mount }) => [
        id,
        ...cells(mount, names, ({ fromNothingSeconds }) => fromNothingSeconds.median.toFixed(3)),
      ]),
    },
    {
      header: ['received while cold', ...names],
      rows: ran.map(({ id, mount }) => [id, ...cells(mount, names, ({ receivedBytes }) => bytes(receivedBytes))]),
    },
  ];
}

type Operation = MountResult['operations'][number];

function secondsOf({ coldSeconds, warmSeconds }: Operation): string {
  return `${coldSeconds.median.toFixed(3)} / ${warmSeconds.median.toFixed(3)}`;
}

function cells({ operations }: MountResult, names: readonly string[], cell: (operation: Operation) => string) {
  return names.map((name) => {
    const found = operations.find((each) => each.name === name);
    return found === undefined ? '–' : cell(found);
  });
}
