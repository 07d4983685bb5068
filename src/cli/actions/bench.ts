import { writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import {
  type BenchContext,
  type BenchDocument,
  benchIndex,
  benchMount,
  benchPipeline,
  benchRelease,
  benchScale,
  drawCharts,
  filesForEntries,
  type ImageSpec,
  OPERATIONS,
  type PageTable,
  PIPELINE_AFTER,
  PIPELINE_BEFORE,
  parseLink,
  phaseTable,
  renderPage,
} from '../../bench/index.ts';
import { WorkerError } from '../../errors/index.ts';
import { makeDirectory } from '../../files/index.ts';
import type { CommandContext } from '../context.ts';
import { parseImageSource } from '../image-source.ts';
import { formatTable, writeResult } from '../output.ts';
import { parseCompression, parseCount, parseRegistryTarget, parseSize } from '../parse-options.ts';
import { registryClient } from '../services.ts';
import { benchTables } from './bench-tables.ts';

interface CommonFlags {
  readonly rounds: string;
  readonly output: string;
}

interface ImageFlags {
  readonly size: string;
  readonly files: string;
  readonly layers: string;
  readonly seed: string;
}

interface RegistryFlags {
  readonly contenders?: string;
  readonly registry?: string;
  readonly link?: string;
}

export interface IndexBenchFlags extends CommonFlags, ImageFlags, RegistryFlags {
  readonly image?: string;
}

export interface PipelineBenchFlags extends CommonFlags, ImageFlags, RegistryFlags {
  readonly image?: string;
  readonly compression?: string;
  readonly level?: string;
}

export interface MountBenchFlags extends CommonFlags, ImageFlags, RegistryFlags {
  readonly image?: string;
  readonly exec: readonly string[];
  readonly operations?: string;
  readonly entries?: string;
  readonly farFile?: string;
}

export interface ReleaseBenchFlags extends CommonFlags, ImageFlags, Pick<RegistryFlags, 'link' | 'registry'> {}

export interface ScaleBenchFlags extends CommonFlags {
  readonly bytes: string;
  readonly entries: string;
  readonly codecs: string;
}

const MAX_FILES = 10_000_000;
const MAX_ROUNDS = 100;

/** `clipyard bench index`. */
export async function runIndexBench(flags: IndexBenchFlags, json: boolean, context: CommandContext): Promise<void> {
  const request = {
    ...registryOf(flags, context),
    image: imageOf(flags),
    rounds: roundsOf(flags),
  };
  await checkOutput(flags.output);
  await using client = await registryClient(context);
  const document = await benchIndex(request, { ...benchContext(context), client });
  await writeBench(document, flags.output, json, context);
}

/** `clipyard bench pipeline`. */
export async function runPipelineBench(
  flags: PipelineBenchFlags,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  const request = {
    ...registryOf(flags, context),
    image: imageOf(flags),
    rounds: roundsOf(flags),
    buildFlags: buildFlagsOf(flags),
  };
  await checkOutput(flags.output);
  await using client = await registryClient(context);
  const document = await benchPipeline(request, { ...benchContext(context), client });
  await writeBench(document, flags.output, json, context);
}

/** `clipyard bench mount`. */
export async function runMountBench(flags: MountBenchFlags, json: boolean, context: CommandContext): Promise<void> {
  const { entries, farFile, ...given } = flags;
  const layer = farFile === undefined ? {} : { size: farFile, layers: '1' };
  const files = entries === undefined ? {} : { files: String(filesForEntries(parseSize(entries, '--entries'))) };
  const request = {
    ...registryOf(flags, context),
    image: imageOf({ ...given, ...layer, ...files }),
    rounds: roundsOf(flags),
    execs: flags.exec,
    operations: operationsOf(flags),
  };
  await checkOutput(flags.output);
  await using client = await registryClient(context);
  const document = await benchMount(request, { ...benchContext(context), client });
  await writeBench(document, flags.output, json, context);
}

/** A size that was asked for is about one thing, so that is what is measured of it. */
function operationsOf({ entries, farFile, image, operations }: MountBenchFlags) {
  if (image !== undefined && (entries ?? farFile) !== undefined)
    throw new WorkerError('USAGE', '--entries and --far-file are of a generated image, not of --image');
  const usual = [...(entries === undefined ? [] : ['walk']), ...(farFile === undefined ? [] : ['far-file'])];
  const names = operations === undefined ? usual : operations.split(',').filter((name) => name !== '');
  const chosen = names.map((name) => {
    const known = OPERATIONS.find((each) => each === name);
    if (known === undefined) throw new WorkerError('USAGE', `--operations ${name}: there is ${OPERATIONS.join(', ')}`);
    return known;
  });
  return operations === undefined && usual.length === 0 ? undefined : chosen;
}

/** `clipyard bench release`. */
export async function runReleaseBench(flags: ReleaseBenchFlags, json: boolean, context: CommandContext): Promise<void> {
  const { link, registry } = registryOf(flags, context);
  const request = { registry, link, image: specOf(flags), rounds: roundsOf(flags) };
  await checkOutput(flags.output);
  await using client = await registryClient(context);
  const document = await benchRelease(request, { ...benchContext(context), client });
  await writeBench(document, flags.output, json, context);
}

/** `clipyard bench scale`. */
export async function runScaleBench(flags: ScaleBenchFlags, json: boolean, context: CommandContext): Promise<void> {
  const list = (text: string) => text.split(',').filter((part) => part !== '');
  const request = {
    bytes: list(flags.bytes).map((text) => parseSize(text, '--bytes')),
    entries: list(flags.entries).map((text) => parseSize(text, '--entries')),
    codecs: list(flags.codecs).map(codecOf),
    rounds: roundsOf(flags),
  };
  if (request.entries.some((count) => count < 1 || count > MAX_FILES))
    throw new WorkerError('USAGE', `--entries ${flags.entries}: from 1 to 10M`);
  await checkOutput(flags.output);
  const document = await benchScale(request, benchContext(context));
  await writeBench(document, flags.output, json, context);
}

function benchContext({ env, settings, signal, stderr, tools }: CommandContext): BenchContext {
  return {
    // What runs this, started again: the same Node, the same flags, the same program.
    clipyard: { self: [process.execPath, ...process.execArgv, process.argv[1] ?? ''], env },
    tools,
    stateDir: settings.stateDir,
    jobs: availableParallelism(),
    signal,
    say: (line) => stderr.write(`[bench] ${line}\n`),
  };
}

function imageOf(flags: ImageFlags & { readonly image?: string }) {
  return flags.image === undefined
    ? { kind: 'generated' as const, spec: specOf(flags) }
    : parseImageSource(flags.image, '--image');
}

function specOf(flags: ImageFlags): ImageSpec {
  const count = (name: 'files' | 'layers' | 'seed', max: number) =>
    parseCount(flags[name], `--${name}`, { min: 1, max });
  return {
    sizeBytes: parseSize(flags.size, '--size'),
    files: count('files', MAX_FILES),
    layers: count('layers', 100),
    seed: count('seed', 2 ** 31),
  };
}

function registryOf({ contenders, link, registry }: RegistryFlags, { settings }: CommandContext) {
  return {
    registry: parseRegistryTarget(registry ?? settings.registry).registry,
    contenders: contenders?.split(','),
    link: link === undefined ? undefined : parseLink(link),
  };
}

function roundsOf({ rounds }: CommonFlags): number {
  return parseCount(rounds, '--rounds', { min: 1, max: MAX_ROUNDS });
}

function buildFlagsOf({ compression, level, link }: PipelineBenchFlags): readonly string[] {
  const codec = compression ?? (link === undefined ? undefined : 'auto');
  return [...(codec === undefined ? [] : ['--compression', codec]), ...(level === undefined ? [] : ['--level', level])];
}

function codecOf(text: string) {
  const [compression = '', level] = text.split(':');
  const parsed = parseCompression({ compression, ...(level !== undefined && { level }) });
  if (parsed.codec === 'none' || parsed.level === 'auto')
    throw new WorkerError('USAGE', `--codecs ${text}: zstd:LEVEL or gzip:LEVEL`);
  return { codec: parsed.codec, level: parsed.level };
}

/** Before minutes of work, not after. */
async function checkOutput(directory: string): Promise<void> {
  await makeDirectory(resolve(directory));
}

async function writeBench(
  document: BenchDocument,
  output: string,
  json: boolean,
  { stderr, stdout }: CommandContext,
): Promise<void> {
  const base = join(resolve(output), `bench-${document.bench}`);
  await writeFile(`${base}.json`, `${JSON.stringify(document, undefined, 2)}\n`);
  const tables: readonly PageTable[] = benchTables(document, phaseTable(document, PIPELINE_BEFORE, PIPELINE_AFTER));
  writeResult(stdout, document, json, () =>
    tables
      .map(({ header, rows }) =>
        formatTable(
          header.map((name, at) => (at === 0 ? name : `${name} >`)),
          rows,
        ),
      )
      .join('\n'),
  );
  await writeFile(`${base}.html`, renderPage(document, { charts: await drawCharts(document), tables }));
  stderr.write(`[bench] ${base}.json, ${base}.html\n`);
}
