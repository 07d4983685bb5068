import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { RegistryClient } from '../registry/index.ts';
import { type BenchContext, openScratch } from './bench-context.ts';
import {
  buildingReleases,
  COMMIT,
  removeReleases,
  retaggingReleases,
  runRelease,
} from './contenders/clipyard-release.ts';
import { runRounds } from './contenders/rounds.ts';
import type { ImageSpec } from './image/generated-image.ts';
import { writeImage } from './image/write-image.ts';
import type { Link } from './link/link.ts';
import { type BenchDocument, benchDocument, type ReleaseSavings } from './report/document.ts';

export interface ReleaseBenchRequest {
  readonly image: ImageSpec;
  /** `host:port` */
  readonly registry: string;
  readonly rounds: number;
  readonly link: Link | undefined;
}

const RELEASES = 10;

/** A release by re-tag against one by build, of an image of two platforms; and what ten releases of one commit take. */
export async function benchRelease(
  { image: spec, link, registry, rounds }: ReleaseBenchRequest,
  context: BenchContext & { readonly client: RegistryClient },
): Promise<BenchDocument> {
  const { client, jobs, say, signal, stateDir } = context;
  await using scratch = await openScratch(stateDir);
  const contextDir = join(scratch.directory, 'context');
  const image = {
    contextDir,
    owner: scratch.name,
    clipyard: context.clipyard,
    store: join(scratch.directory, 'store'),
  };
  say('preparing the build context and the image of the commit');
  const { entries, plainBytes } = await writeImage(spec, { contextDir, jobs, signal });
  const directory = join(scratch.directory, 'commit');
  await mkdir(directory);
  try {
    // The first release of a commit builds its image: what every later one re-tags.
    await runRelease('retag', 'v0.9.0', ['--commit', COMMIT], image, { directory, registry, signal });
    const contenders = [buildingReleases(image), retaggingReleases(image)];
    const options = { rounds, registry, link, scratchDir: scratch.directory, say, signal };
    const results = await runRounds(contenders, options);
    const { files, layers, seed, sizeBytes } = spec;
    const input = { sizeBytes, files, layers, seed, plainBytes, entries, platforms: 'linux/amd64,linux/arm64' };
    const document = benchDocument({ bench: 'release', input, rounds, link, peer: 'build', results });
    return { ...document, releases: releaseSavings(document, RELEASES) };
  } finally {
    for (const app of ['build', 'retag'])
      await removeReleases({ registry, repository: `${scratch.name}/bench-${app}` }, { client, say });
  }
}

/** Ten builds against one build and nine re-tags, from the medians. */
export function releaseSavings({ contenders }: Pick<BenchDocument, 'contenders'>, count: number): ReleaseSavings {
  const median = (id: string) => contenders.find((each) => each.id === id)?.seconds?.median ?? 0;
  const [buildSeconds, retagSeconds] = [median('build'), median('retag')];
  const before = count * buildSeconds;
  const after = buildSeconds + (count - 1) * retagSeconds;
  return {
    count,
    buildSeconds,
    retagSeconds,
    alwaysBuildingSeconds: before,
    retaggingSeconds: after,
    savedPercent: before === 0 ? 0 : 100 * (1 - after / before),
    savedPercentOfOne: buildSeconds === 0 ? 0 : 100 * (1 - retagSeconds / buildSeconds),
  };
}
