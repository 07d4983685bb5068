import { join } from 'node:path';
import type { RegistryClient } from '../registry/index.ts';
import { type BenchContext, chooseContenders, openScratch } from './bench-context.ts';
import { BUILDKIT_FLOWS, buildkitFlowContender } from './contenders/buildkit-flow.ts';
import { clipyardBuildContender } from './contenders/clipyard-build.ts';
import { placeImage } from './image/place-image.ts';
import { unpackImage } from './image/unpack-image.ts';
import { writeImage } from './image/write-image.ts';
import { type ImageBenchRequest, placeOf, runImageRounds } from './image-bench.ts';
import { type BenchDocument, benchDocument } from './report/document.ts';

export interface PipelineBenchRequest extends ImageBenchRequest {
  /** Flags of `clipyard build` beside the named ones. */
  readonly buildFlags: readonly string[];
}

/** What the phase table calls before and after. */
export const PIPELINE_BEFORE = 'buildkit-gzip-clip';
export const PIPELINE_AFTER = 'clipyard';

/** From the last build step to pushed, indexed, archived and published, by ours and by the flows before it. */
export async function benchPipeline(
  request: PipelineBenchRequest,
  context: BenchContext & { readonly client: RegistryClient },
): Promise<BenchDocument> {
  const { say, stateDir, tools } = context;
  const { buildFlags, link, rounds } = request;
  await using scratch = await openScratch(stateDir);
  const contextDir = join(scratch.directory, 'context');
  const image = { contextDir, tools, repositoryPrefix: scratch.name };
  const contenders = chooseContenders(
    [
      clipyardBuildContender(image, context.clipyard, { flags: buildFlags, say }),
      ...BUILDKIT_FLOWS.map((flow) => buildkitFlowContender(flow, image, say)),
    ],
    request.contenders,
  );
  say('preparing the build context');
  const input = await writeContext(request, contextDir, scratch.directory, context);
  const results = await runImageRounds(contenders, request, scratch, context);
  return benchDocument({ bench: 'pipeline', input, rounds, link, peer: PIPELINE_BEFORE, results });
}

/** What the contenders build from; gives what there is to say about it. */
async function writeContext(
  { image }: PipelineBenchRequest,
  contextDir: string,
  directory: string,
  { client, jobs, signal }: BenchContext & { readonly client: RegistryClient },
): Promise<Readonly<Record<string, string | number>>> {
  if (image.kind === 'generated') {
    const { files, layers, seed, sizeBytes } = image.spec;
    const { entries, plainBytes } = await writeImage(image.spec, { contextDir, jobs, signal });
    return { sizeBytes, files, layers, seed, plainBytes, entries };
  }
  const placed = await placeImage(image, directory, { client, signal });
  const { entries, plainBytes } = await unpackImage(placed, contextDir, { jobs, signal });
  return {
    image: placeOf(image),
    layers: placed.layers,
    manifest: placed.manifest.digest,
    plainBytes,
    entries,
  };
}
