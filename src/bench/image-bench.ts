import type { BenchContext, Scratch } from './bench-context.ts';
import type { Contender } from './contenders/contender.ts';
import { type ContenderRuns, runRounds } from './contenders/rounds.ts';
import { nodesOf } from './contenders/stock-clip.ts';
import type { ImageSpec } from './image/generated-image.ts';
import type { GivenImage } from './image/place-image.ts';
import type { Link } from './link/link.ts';

/** What the benchmarks that make archives of an image have in common. */
export interface ImageBenchRequest {
  readonly image: GivenImage | { readonly kind: 'generated'; readonly spec: ImageSpec };
  /** `host:port` of the registry that images are put into for a while. */
  readonly registry: string;
  readonly rounds: number;
  readonly contenders: readonly string[] | undefined;
  readonly link: Link | undefined;
}

/** The rounds of all contenders; the stock reader counts the nodes of what each made. */
export async function runImageRounds(
  contenders: readonly Contender[],
  request: ImageBenchRequest,
  { directory }: Scratch,
  { say, signal, tools }: BenchContext,
): Promise<readonly ContenderRuns[]> {
  return await runRounds(contenders, {
    ...request,
    scratchDir: directory,
    say,
    signal,
    inspect: async (_contender, { archivePath }) =>
      archivePath === undefined ? {} : { nodes: await nodesOf(archivePath, tools, { signal }) },
  });
}

/** Where a given image is, for the report. */
export function placeOf({ kind }: GivenImage): string {
  return kind === 'oci' ? 'OCI layout' : 'registry';
}
