import type { BenchDocument, MountResult, PageTable } from '../../bench/index.ts';
import { formatBytes } from '../output.ts';

/** What a person reads of `bench mount`: the mounts, then tables with a column an operation: seconds, counts, ratios. */
export function mountTables({ contenders }: BenchDocument): readonly PageTable[] {
  const ran = contenders.flatMap(({ id, mount }) => (mount === undefined ? [] : [{ id, mount }]));
  const names = [...new Set(ran.flatMap(({ mount }) => mount.operations.map(({ name }) => name)))];
  const bytes = (value: number | undefined) => (value === undefined ? '–' : formatBytes(value));
  return [
    {
      header: [
        'contender',
        'until mounted s',
        'min – max s',
        'of it serving s',
        'received',
        'memory',
        'peak',
        '× clip serving',
        '× clip memory',
      ],
      rows: contenders.map(({ id, mount, ratios, unavailable = '' }) =>
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
              ...(['served', 'mountedBytes'] as const).map((of) => ratios?.['clip']?.[of]?.toFixed(2) ?? '–'),
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
      header: ['from the mount s', ...names],
      rows: ran.map(({ id, mount }) => [
        id,
        ...cells(mount, names, ({ fromMountSeconds }) => fromMountSeconds?.median.toFixed(3) ?? '–'),
      ]),
    },
    {
      header: ['received while cold', ...names],
      rows: ran.map(({ id, mount }) => [id, ...cells(mount, names, ({ receivedBytes }) => bytes(receivedBytes))]),
    },
    {
      header: ['requests / waits / asked when warm', ...names],
      rows: ran.map(({ id, mount }) => [id, ...cells(mount, names, countsOf)]),
    },
    ...ratioTables(contenders, names),
  ];
}

/** A table a peer and a state: how many times what the peer takes. */
function ratioTables(contenders: BenchDocument['contenders'], names: readonly string[]): readonly PageTable[] {
  const states = ['warm', 'cold', 'fromNothing', 'received'] as const;
  const peers = [...new Set(contenders.flatMap(({ ratios = {} }) => Object.keys(ratios)))];
  const tables = peers.flatMap((peer) =>
    states.map((state) => ({
      header: [`× ${peer}, ${state === 'fromNothing' ? 'from nothing' : state}`, ...names],
      rows: contenders.flatMap(({ id, ratios }) => {
        const of = ratios?.[peer]?.operations;
        return of === undefined ? [] : [[id, ...names.map((name) => of[name]?.[state]?.toFixed(2) ?? '–')]];
      }),
    })),
  );
  return tables.filter(({ rows }) => rows.some(([, ...values]) => values.some((value) => value !== '–')));
}

type Operation = MountResult['operations'][number];

function secondsOf({ coldSeconds, warmSeconds }: Operation): string {
  return `${coldSeconds.median.toFixed(3)} / ${warmSeconds.median.toFixed(3)}`;
}

function countsOf({ requests, waits, warmRequests }: Operation): string {
  return requests === undefined ? '–' : `${requests} / ${waits ?? 0} / ${warmRequests ?? 0}`;
}

function cells({ operations }: MountResult, names: readonly string[], cell: (operation: Operation) => string) {
  return names.map((name) => {
    const found = operations.find((each) => each.name === name);
    return found === undefined ? '–' : cell(found);
  });
}
