import { WorkerError } from '../../errors/index.ts';
import type { ArchiveFormat } from '../../indexer/index.ts';
import { type EngineChoice, type IndexResult, type IndexSource, indexImage } from '../../jobs/index.ts';
import { localPlatform, parsePlatform } from '../../oci/index.ts';
import { parseReference, type Reference } from '../../registry/index.ts';
import type { CommandContext } from '../context.ts';
import { parseImageSource } from '../image-source.ts';
import { formatBytes, formatSeconds, writeResult } from '../output.ts';
import { parseCount, parseLimits, parseSize } from '../parse-options.ts';
import { createProgress } from '../progress/index.ts';
import { packCacheSettings, registryClient } from '../services.ts';

export interface IndexFlags {
  readonly from: string;
  readonly storageRef?: string;
  readonly output: string;
  readonly engine: EngineChoice;
  readonly jobs: string;
  readonly cache: boolean;
  readonly packCacheStore?: string;
  readonly platform?: string;
  readonly chunk: string;
  readonly plainHttp?: boolean;
  readonly archiveFormat: ArchiveFormat;
  readonly limit: readonly string[];
}

/** `clipyard index`. */
export async function index(flags: IndexFlags, json: boolean, context: CommandContext): Promise<void> {
  const source = parseImageSource(flags.from, '--from');
  const storage = storageOf(flags, source);
  using progress = createProgress({ mode: json ? 'json' : 'auto', stderr: context.stderr });
  await using client = await registryClient(context, flags);
  await using packCache = packCacheSettings(context, flags.packCacheStore);
  const result = await indexImage(
    {
      source,
      storage,
      output: flags.output,
      platform: flags.platform === undefined ? localPlatform() : parsePlatform(flags.platform),
      platformAsked: flags.platform !== undefined,
      engine: flags.engine,
      jobs: parseCount(flags.jobs, '--jobs', { min: 1, max: 256 }),
      chunkBytes: parseSize(flags.chunk, '--chunk'),
      useCache: flags.cache,
      format: flags.archiveFormat,
    },
    {
      client,
      tools: context.tools,
      stateDir: context.settings.stateDir,
      packCache,
      limits: parseLimits(flags.limit, context.settings.limits),
      log: context.log,
      report: progress.report,
      signal: context.signal,
    },
  );
  writeResult(context.stdout, result, json, () => summary(result));
}

function storageOf({ storageRef }: IndexFlags, source: IndexSource): Reference {
  if (storageRef !== undefined) return parseReference(storageRef);
  if (source.kind === 'docker') return source.reference;
  throw new WorkerError(
    'USAGE',
    'an OCI layout does not say where runtimes read its blobs: give --storage-ref REGISTRY/REPOSITORY:TAG',
  );
}

function summary({ archive, durationMs, engine, layers, mountBytes, plainBytes, storageRef }: IndexResult): string {
  const cached = layers.filter((layer) => layer.cached).length;
  return [
    `archive  ${archive.path} (${archive.entries} entries, ${formatBytes(archive.sizeBytes)}; ${engine === 'portable' ? 'its first mount reads every layer' : `a mount fetches ${formatBytes(mountBytes)}`})`,
    `digest   ${archive.digest}`,
    `blobs    ${storageRef}`,
    `indexed  ${layers.length} layers, ${formatBytes(plainBytes)} plain, in ${formatSeconds(durationMs)} (${cached} from the cache)`,
    '',
  ].join('\n');
}
