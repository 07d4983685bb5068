import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOf } from '../digest/index.ts';
import { WorkerError } from '../errors/index.ts';
import type { Codec } from '../indexer/index.ts';
import { findNativeTool } from '../native/index.ts';
import { canonicalJson, MAX_MANIFEST_BYTES, OciLayout, parseManifest } from '../oci/index.ts';
import { type BenchContext, openScratch } from './bench-context.ts';
import { writeImage } from './image/write-image.ts';
import { runMeasured, type Usage } from './measure/run-measured.ts';
import { lineThrough, spreadOf } from './measure/statistics.ts';
import { type BenchDocument, documentHead, type ScalePoint } from './report/document.ts';

export interface ScaleCodec {
  readonly codec: Exclude<Codec, 'none'>;
  readonly level: number;
}

export interface ScaleBenchRequest {
  /** Sizes of images with `filesPerSize` files. */
  readonly bytes: readonly number[];
  /** Files of images with `bytesPerFile` bytes each. */
  readonly entries: readonly number[];
  readonly codecs: readonly ScaleCodec[];
  readonly rounds: number;
}

const FILES_OF_A_SIZE = 10_000;
const BYTES_OF_A_FILE = 512;
const LAYERS = 2;
const SEED = 1;
const CHUNK_BYTES = 256 * 1024;

/** Pack and assemble alone, over images of growing size and count: what the native tool takes, and how that grows. */
export async function benchScale(request: ScaleBenchRequest, context: BenchContext): Promise<BenchDocument> {
  const { say } = context;
  const { bytes, codecs, entries, rounds } = request;
  const head = documentHead('scale', { filesOfASize: FILES_OF_A_SIZE, bytesOfAFile: BYTES_OF_A_FILE }, rounds);
  await using scratch = await openScratch(context.stateDir);
  const points: ScalePoint[] = [];
  const plans = [
    ...bytes.map((sizeBytes) => ({ series: 'bytes' as const, sizeBytes, files: FILES_OF_A_SIZE })),
    ...entries.map((files) => ({ series: 'entries' as const, sizeBytes: files * BYTES_OF_A_FILE, files })),
  ];
  for (const plan of plans) {
    const directory = join(scratch.directory, 'point');
    await mkdir(directory);
    try {
      say(`${plan.series}: generating ${plan.sizeBytes} bytes in ${plan.files} files`);
      points.push(...(await measurePoint(plan, directory, request, context)));
    } finally {
      await rm(directory, { recursive: true, force: true }); // one image on the disk at a time
    }
  }
  return { ...head, contenders: [], points, fits: fitsOf(points, codecs) };
}

interface Plan {
  readonly series: 'bytes' | 'entries';
  readonly sizeBytes: number;
  readonly files: number;
}

async function measurePoint(
  { files, series, sizeBytes }: Plan,
  directory: string,
  { codecs, rounds }: ScaleBenchRequest,
  context: BenchContext,
): Promise<readonly ScalePoint[]> {
  const { jobs, say, signal } = context;
  const layoutDir = join(directory, 'image');
  const spec = { sizeBytes, files, layers: Math.min(LAYERS, files), seed: SEED };
  const image = await writeImage(spec, { layout: { directory: layoutDir, codec: 'plain' }, jobs, signal });
  const layout = await OciLayout.open(layoutDir, { signal });
  const runs = codecs.map(() => [] as Run[]);
  for (let round = 1; round <= rounds; round++) {
    for (const [at, codec] of codecs.entries()) {
      const run = await runOnce(layout, join(directory, 'out'), codec, context);
      runs[at]?.push(run);
      const { assemble, pack } = run;
      say(
        `${series} ${files}/${sizeBytes}, ${nameOf(codec)}: ${pack.seconds.toFixed(2)} + ${assemble.seconds.toFixed(2)} s`,
      );
    }
  }
  return codecs.map((codec, at) => pointOf(runs[at] ?? [], { series, codec: nameOf(codec), ...image }));
}

interface Run {
  readonly pack: Usage & { readonly blobBytes: number };
  readonly assemble: Usage & { readonly archiveBytes: number };
}

async function runOnce(
  layout: OciLayout,
  out: string,
  { codec, level }: ScaleCodec,
  { jobs, signal, tools }: BenchContext,
): Promise<Run> {
  const tool = findNativeTool('clipyard-index', tools);
  await mkdir(out);
  try {
    const manifest = await layout.resolve('latest');
    const parsed = parseManifest(await layout.readBlob(manifest, { maxBytes: MAX_MANIFEST_BYTES, signal }));
    const { config, layers } = parsed;
    const files = layers.map(({ digest, mediaType }, at) => ({
      digest,
      mediaType,
      blob: join(out, `${at}.blob`),
      index: join(out, `${at}.idx`),
    }));
    const pack = await runMeasured(
      {
        command: [tool, 'pack'],
        input: line({
          v: 1,
          jobs,
          chunkBytes: CHUNK_BYTES,
          layers: files.map(({ blob, digest, index, mediaType }, at) => ({
            id: String(at),
            source: layout.blobPath(digest),
            mediaType,
            diffId: digest,
            action: { kind: 'pack', codec, level, output: blob },
            index,
          })),
        }),
      },
      { signal },
    );
    const packed = packedLayers(pack.stdout, files.length);
    const packedManifest = Buffer.from(
      canonicalJson({
        ...parsed,
        layers: packed.map(({ digest, mediaType, sizeBytes }) => ({ mediaType, digest, size: sizeBytes })),
      }),
    );
    const manifestPath = join(out, 'manifest.json');
    await writeFile(manifestPath, packedManifest);
    const output = join(out, 'image.clip');
    const assemble = await runMeasured(
      {
        command: [tool, 'assemble'],
        input: line({
          v: 1,
          output,
          layers: files.map(({ index }, at) => ({
            index,
            digest: packed[at]?.digest,
            mediaType: packed[at]?.mediaType,
          })),
          config: layout.blobPath(config.digest),
          manifest: manifestPath,
          storage: { registry: '127.0.0.1:5000', repository: 'bench', reference: digestOf(packedManifest) },
          imageName: '127.0.0.1:5000/bench:scale',
        }),
      },
      { signal },
    );
    const sizes = await Promise.all(files.map(({ blob }) => stat(blob)));
    const blobBytes = sizes.reduce((sum, { size }) => sum + size, 0);
    return { pack: { ...pack, blobBytes }, assemble: { ...assemble, archiveBytes: (await stat(output)).size } };
  } finally {
    await rm(out, { recursive: true, force: true });
  }
}

interface PackedBlob {
  readonly digest: string;
  readonly mediaType: string;
  readonly sizeBytes: number;
}

/** In layer order, from the tool's `result` events. */
function packedLayers(stdout: string, count: number): readonly PackedBlob[] {
  const events = stdout
    .split('\n')
    .filter((text) => text !== '')
    .map((text) => JSON.parse(text) as { event: string; id: string; result?: PackedBlob });
  return Array.from({ length: count }, (_, at) => {
    const result = events.find(({ event, id }) => event === 'result' && id === String(at))?.result;
    if (result === undefined) throw new WorkerError('BENCH_FAILED', `clipyard-index pack gave no layer ${at}`);
    return result;
  });
}

function line(request: object): string {
  return `${JSON.stringify(request)}\n`;
}

function nameOf({ codec, level }: ScaleCodec): string {
  return `${codec}:${level}`;
}

function pointOf(
  runs: readonly Run[],
  facts: Pick<ScalePoint, 'series' | 'codec' | 'plainBytes' | 'entries'>,
): ScalePoint {
  const of = (step: 'pack' | 'assemble') => ({
    seconds: spreadOf(runs.map((run) => run[step].seconds)),
    cpuSeconds: spreadOf(runs.map((run) => run[step].cpuSeconds)),
    peakBytes: Math.max(...runs.map((run) => run[step].peakBytes)),
  });
  const { codec, entries, plainBytes, series } = facts;
  return {
    series,
    codec,
    plainBytes,
    entries,
    pack: { ...of('pack'), blobBytes: runs[0]?.pack.blobBytes ?? 0 },
    assemble: { ...of('assemble'), archiveBytes: runs[0]?.assemble.archiveBytes ?? 0 },
  };
}

function fitsOf(points: readonly ScalePoint[], codecs: readonly ScaleCodec[]): NonNullable<BenchDocument['fits']> {
  return (['bytes', 'entries'] as const).flatMap((series) =>
    codecs.map(nameOf).flatMap((codec) => {
      const own = points.filter((point) => point.series === series && point.codec === codec);
      if (own.length < 2) return [];
      const line = lineThrough(
        own.map((point) => [
          series === 'bytes' ? point.plainBytes / 1e9 : point.entries / 1e6,
          point.pack.seconds.median + point.assemble.seconds.median,
        ]),
      );
      return [{ series, codec, ...line }];
    }),
  );
}
