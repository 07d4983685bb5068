import { join } from 'node:path';
import { type BenchContext, chooseContenders, openScratch } from './bench-context.ts';
import { BUILDKIT_FLOWS, buildkitFlowContender } from './contenders/buildkit-flow.ts';
import { clipyardBuildContender } from './contenders/clipyard-build.ts';
import { runRounds } from './contenders/rounds.ts';
import { nodesOf } from './contenders/stock-clip.ts';
import type { ImageSpec } from './image/generated-image.ts';
import { writeImage } from './image/write-image.ts';
import type { Link } from './link/link.ts';
import { type BenchDocument, benchDocument } from './report/document.ts';

export interface PipelineBenchRequest {
  readonly spec: ImageSpec;
  /** `host:port` */
  readonly registry: string;
  readonly rounds: number;
  readonly contenders: readonly string[] | undefined;
  readonly link: Link | undefined;
  /** Flags of `clipyard build` beside the named ones. */
  readonly buildFlags: readonly string[];
}

/** What the phase table calls before and after. */
export const PIPELINE_BEFORE = 'buildkit-gzip-clip';
export const PIPELINE_AFTER = 'clipyard';

/** From the last build step to pushed, indexed, archived and published, by ours and by the flows before it. */
export async function benchPipeline(request: PipelineBenchRequest, context: BenchContext): Promise<BenchDocument> {
  const { jobs, say, signal, stateDir, tools } = context;
  const { buildFlags, link, rounds, spec } = request;
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
  const { entries, plainBytes } = await writeImage(spec, { contextDir, jobs, signal });
  const results = await runRounds(contenders, {
    ...request,
    scratchDir: scratch.directory,
    say,
    signal,
    inspect: async (_contender, { archivePath }) =>
      archivePath === undefined ? {} : { nodes: await nodesOf(archivePath, tools, { signal }) },
  });
  const { files, layers, seed, sizeBytes } = spec;
  const input = { sizeBytes, files, layers, seed, plainBytes, entries };
  return benchDocument({ bench: 'pipeline', input, rounds, link, peer: PIPELINE_BEFORE, results });
}
