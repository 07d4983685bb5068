import { z } from 'zod';
import { WorkerError } from '../../errors/index.ts';
import type { ContenderRuns } from '../contenders/rounds.ts';
import type { Link } from '../link/link.ts';
import { thisMachine } from '../measure/machine.ts';
import { spreadOf } from '../measure/statistics.ts';
import { MountRatios } from './mount-ratios.ts';
import { MountResult } from './mount-result.ts';
import { Spread } from './spread.ts';

const Phases = z.object({
  build: z.number().optional(),
  push: z.number().optional(),
  index: z.number().optional(),
  upload: z.number().optional(),
});

const ContenderResult = z.object({
  id: z.string(),
  title: z.string(),
  /** Why it did not run; then there are no numbers. */
  unavailable: z.string().optional(),
  seconds: Spread.optional(),
  cpuSeconds: Spread.optional(),
  /** The most of all runs. */
  peakBytes: z.number().optional(),
  /** Through read(2): files, pipes and sockets. */
  readBytes: Spread.optional(),
  /** To and from the registry, of the counting run. */
  sentBytes: z.number().optional(),
  receivedBytes: z.number().optional(),
  /** Of seconds, to the named peer's. */
  ratio: z.number().optional(),
  /** Medians, in seconds. They may overlap. */
  phases: Phases.optional(),
  archiveBytes: z.number().optional(),
  blobBytes: z.number().optional(),
  /** As the stock reader lists the archive. */
  nodes: z.number().optional(),
  /** Of `bench mount`, which has nothing else. */
  mount: MountResult.optional(),
  /** Of `bench mount`: to each peer that ran. */
  ratios: z.record(z.string(), MountRatios).optional(),
  runs: z.array(
    z.object({ seconds: z.number(), cpuSeconds: z.number(), peakBytes: z.number(), readBytes: z.number() }),
  ),
});

const ScalePoint = z.object({
  series: z.enum(['bytes', 'entries']),
  codec: z.string(),
  plainBytes: z.number(),
  entries: z.number(),
  pack: z.object({ seconds: Spread, cpuSeconds: Spread, peakBytes: z.number(), blobBytes: z.number() }),
  assemble: z.object({ seconds: Spread, cpuSeconds: Spread, peakBytes: z.number(), archiveBytes: z.number() }),
});

/** Of `bench release`: so many releases of one commit, each built, or the first built and the others re-tagged. */
const ReleaseSavings = z.object({
  count: z.number(),
  buildSeconds: z.number(),
  retagSeconds: z.number(),
  alwaysBuildingSeconds: z.number(),
  retaggingSeconds: z.number(),
  savedPercent: z.number(),
  savedPercentOfOne: z.number(),
});

/** The JSON result of every benchmark (docs/benchmarks.md). */
export const BenchDocument = z.object({
  version: z.literal(1),
  bench: z.enum(['index', 'pipeline', 'scale', 'mount', 'release']),
  startedAt: z.iso.datetime(),
  machine: z.object({
    cpu: z.string(),
    cores: z.number(),
    memoryBytes: z.number(),
    kernel: z.string(),
    node: z.string(),
  }),
  input: z.record(z.string(), z.union([z.string(), z.number()])),
  rounds: z.number(),
  link: z.object({ bytesPerSecond: z.number(), roundTripMs: z.number() }).optional(),
  /** The contender that ratios are to. */
  peer: z.string().optional(),
  contenders: z.array(ContenderResult),
  releases: ReleaseSavings.optional(),
  points: z.array(ScalePoint).optional(),
  /** Least squares over the points: seconds per GB of plain bytes, seconds per million entries. */
  fits: z
    .array(
      z.object({
        series: z.enum(['bytes', 'entries']),
        codec: z.string(),
        slope: z.number(),
        intercept: z.number(),
        r2: z.number(),
      }),
    )
    .optional(),
});
export type BenchDocument = z.infer<typeof BenchDocument>;
export type ContenderResult = z.infer<typeof ContenderResult>;
export type ReleaseSavings = z.infer<typeof ReleaseSavings>;
export type ScalePoint = z.infer<typeof ScalePoint>;

export interface Measured {
  readonly bench: BenchDocument['bench'];
  readonly input: Readonly<Record<string, string | number>>;
  readonly rounds: number;
  readonly link?: Link | undefined;
  readonly peer: string;
  readonly results: readonly ContenderRuns[];
}

export function benchDocument({ bench, input, link, peer, results, rounds }: Measured): BenchDocument {
  const contenders = results.map(contenderResult);
  const base = contenders.find(({ id }) => id === peer)?.seconds?.median;
  return {
    ...documentHead(bench, input, rounds),
    ...(link !== undefined && { link }),
    peer,
    contenders: contenders.map((contender) => ({
      ...contender,
      ...(base !== undefined &&
        base > 0 &&
        contender.seconds !== undefined && { ratio: contender.seconds.median / base }),
    })),
  };
}

export function documentHead(
  bench: BenchDocument['bench'],
  input: Measured['input'],
  rounds: number,
): Omit<BenchDocument, 'contenders'> {
  return {
    version: 1,
    bench,
    startedAt: new Date().toISOString(),
    machine: thisMachine(),
    input: { ...input },
    rounds,
  };
}

function contenderResult({ contender, nodes, runs, traffic }: ContenderRuns): ContenderResult {
  const { id, title, unavailable } = contender;
  const [first] = runs;
  if (first === undefined) {
    if (unavailable === undefined) throw new WorkerError('INTERNAL', `${id} was not run`);
    return { id, title, unavailable, runs: [] };
  }
  const of = (pick: (run: (typeof runs)[number]) => number | undefined) => runs.flatMap((run) => pick(run) ?? []);
  const phase = (name: 'build' | 'push' | 'index' | 'upload') => {
    const values = of(({ phases }) => phases?.[name]);
    return values.length === 0 ? {} : { [name]: spreadOf(values).median };
  };
  return {
    id,
    title,
    seconds: spreadOf(of(({ seconds }) => seconds)),
    cpuSeconds: spreadOf(of(({ cpuSeconds }) => cpuSeconds)),
    peakBytes: Math.max(...of(({ peakBytes }) => peakBytes)),
    readBytes: spreadOf(of(({ readBytes }) => readBytes)),
    ...(traffic !== undefined && traffic),
    ...(first.phases !== undefined && {
      phases: { ...phase('build'), ...phase('push'), ...phase('index'), ...phase('upload') },
    }),
    ...(first.archiveBytes !== undefined && { archiveBytes: first.archiveBytes }),
    ...(first.blobBytes !== undefined && { blobBytes: first.blobBytes }),
    ...(nodes !== undefined && { nodes }),
    runs: runs.map(({ cpuSeconds, peakBytes, readBytes, seconds }) => ({ seconds, cpuSeconds, peakBytes, readBytes })),
  };
}
