import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { parseImageId, parseWorkspaceId } from '../../archive/index.ts';
import { connectBuildkit } from '../../buildkit/index.ts';
import { WorkerError } from '../../errors/index.ts';
import type { ArchiveFormat } from '../../indexer/index.ts';
import { type BuildResult, buildImage, type ImageBuild, type IndexFrom, parseSecondName } from '../../jobs/index.ts';
import { type BuildkitFlags, buildkitRequest } from '../buildkit-flags.ts';
import type { CommandContext } from '../context.ts';
import { imageIdOf } from '../image-id.ts';
import { formatBytes, formatSeconds, formatTable, writeResult } from '../output.ts';
import { type CompressionFlags, parseCompression, parseLimits, parseRegistryTarget } from '../parse-options.ts';
import { createProgress, type ProgressMode } from '../progress/index.ts';
import { objectStore, packCacheSettings, registryClient } from '../services.ts';

/** How an image is packed, pushed and published (commands/build-options.ts). */
export interface PipelineFlags extends BuildkitFlags, CompressionFlags {
  readonly plainHttp?: boolean;
  readonly store?: string;
  readonly buildkit?: string;
  readonly packCache: boolean;
  readonly packCacheStore?: string;
  readonly progress: ProgressMode;
  readonly limit: readonly string[];
}

export interface BuildFlags extends PipelineFlags {
  readonly workspace?: string;
  readonly imageId?: string;
  readonly registry?: string;
  readonly layout?: string;
  readonly archiveFormat: ArchiveFormat;
  readonly alsoAs?: string;
  readonly indexFrom: IndexFrom;
}

/** `clipyard build`. */
export async function build(flags: BuildFlags, json: boolean, context: CommandContext): Promise<void> {
  const result = await runBuild(flags, json, context);
  writeResult(context.stdout, result, json, () => summary(result));
}

async function runBuild(flags: BuildFlags, json: boolean, context: CommandContext): Promise<BuildResult> {
  const { settings } = context;
  const request: ImageBuild = {
    workspaceId: parseWorkspaceId(flags.workspace ?? settings.workspace),
    imageId: parseImageId(flags.imageId ?? imageIdOf(flags.context)),
    target: parseRegistryTarget(flags.registry ?? settings.registry),
    build: await buildkitRequest(flags, context),
    compression: parseCompression(flags),
    useCache: flags.packCache,
    layoutDir: flags.layout === undefined ? undefined : resolve(flags.layout),
    archiveFormat: flags.archiveFormat,
    alsoAs: secondNameOf(flags),
    indexFrom: flags.indexFrom,
  };
  return await runPipeline(request, flags, json, context);
}

/** One image through the whole pipeline, with everything it needs opened for the time. */
export async function runPipeline(
  request: ImageBuild,
  flags: PipelineFlags,
  json: boolean,
  context: CommandContext,
): Promise<BuildResult> {
  const { log, settings, signal, tools } = context;
  const address = flags.buildkit ?? settings.buildkitAddress;
  // The configured content directory belongs to the configured daemon.
  const contentDir = address === settings.buildkitAddress ? settings.buildkitContentDir : undefined;
  using progress = createProgress({ mode: json ? 'json' : flags.progress, stderr: context.stderr });
  await using client = await registryClient(context, flags);
  await using store = objectStore(context, flags.store);
  await using packCache = packCacheSettings(context, flags.packCacheStore);
  await using buildkit = await connectBuildkit({
    address,
    log,
    signal,
    ...(contentDir !== undefined && { contentDir }),
  });
  return await buildImage(request, {
    buildkit,
    client,
    store,
    tools,
    log,
    signal,
    stateDir: settings.stateDir,
    packCache,
    limits: parseLimits(flags.limit, settings.limits),
    jobs: availableParallelism(),
    report: progress.report,
    now: () => performance.now(),
  });
}

/** Throws USAGE, before anything is built. */
function secondNameOf({ alsoAs, platform = '' }: BuildFlags): string | undefined {
  if (alsoAs !== undefined && platform.includes(','))
    throw new WorkerError('USAGE', `--also-as ${alsoAs} names one archive; ${platform} gives one a platform`);
  return alsoAs === undefined ? undefined : parseSecondName(alsoAs);
}

function summary(result: BuildResult): string {
  const layers = result.layers.map((layer) => [
    layer.digest.slice(7, 19),
    layer.packed,
    layer.pushed,
    formatBytes(layer.plainBytes),
    formatBytes(layer.sizeBytes),
  ]);
  const phases = result.phases.map(({ bytes, durationMs, name }) => [
    name,
    formatSeconds(durationMs),
    bytes === 0 ? '' : formatBytes(bytes),
  ]);
  const archives = result.archives.map(
    ({ entries, mountBytes, platform, sizeBytes, uri }) =>
      `${platform}: ${uri} (${entries} entries, ${formatBytes(sizeBytes)}; a mount fetches ${formatBytes(mountBytes)})`,
  );
  return [
    formatTable(['layer', 'packed', 'pushed', 'plain >', 'stored >'], layers),
    formatTable(['phase', 'time >', 'bytes >'], phases),
    `image    ${result.storageRef}\n         @${result.manifestDigest}\n`,
    ...archives.map((line) => `archive  ${line}\n`),
    `pushed   ${formatBytes(result.bytesPushed)} (BuildKit: ${result.buildkit.cachedSteps} of ${result.buildkit.steps} steps cached)\n`,
    `run      clipyard run ${result.workspaceId}/${result.imageId} -- COMMAND\n`,
  ].join('\n');
}
