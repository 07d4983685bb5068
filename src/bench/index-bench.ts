import { join } from 'node:path';
import { OciLayout } from '../oci/index.ts';
import type { RegistryClient } from '../registry/index.ts';
import { type BenchContext, checkNames, chooseContenders, openScratch } from './bench-context.ts';
import { buildkitFlowContender } from './contenders/buildkit-flow.ts';
import { clipyardIndexContenders } from './contenders/clipyard-index.ts';
import type { Contender } from './contenders/contender.ts';
import { pushImage, removeImage } from './contenders/registry-image.ts';
import { stockClipContender } from './contenders/stock-clip.ts';
import { describePlaced, type PlacedImage, placeImage } from './image/place-image.ts';
import { writeImage } from './image/write-image.ts';
import { type ImageBenchRequest, placeOf, runImageRounds } from './image-bench.ts';
import { type BenchDocument, benchDocument } from './report/document.ts';

export type IndexBenchRequest = ImageBenchRequest;

const PEER = 'clip';
const CONTENDERS = ['native', 'native-cached', 'portable', 'legacy', PEER, 'buildkit-gzip-clip'];
const TAG = 'image';

/** One image indexed by every contender, in turn. What was put into the registry and on the disk is removed again. */
export async function benchIndex(
  request: IndexBenchRequest,
  context: BenchContext & { readonly client: RegistryClient },
): Promise<BenchDocument> {
  const { client, say, signal, stateDir, tools } = context;
  checkNames(CONTENDERS, request.contenders); // before an image is made for nothing
  await using scratch = await openScratch(stateDir);
  const contextDir = join(scratch.directory, 'context');
  say('preparing the image');
  const placed = await place(request, contextDir, scratch.directory, context);
  const target = { registry: request.registry, repository: `${scratch.name}-source`, tag: TAG };
  try {
    await pushImage(placed.layout, placed.manifest, target, { client, signal });
    const image = { layoutDir: placed.layout.directory, repository: target.repository, tag: TAG };
    const stock = stockClipContender(image, tools);
    const built = { contextDir, tools, repositoryPrefix: scratch.name };
    const contenders = chooseContenders(
      [
        ...clipyardIndexContenders(image, context.clipyard, { warmState: join(scratch.directory, 'warm') }),
        { ...stock, unavailable: stock.unavailable ?? gzipOnly(placed) },
        fromBuild(buildkitFlowContender(AFTER_BUILD, built, say), request),
      ],
      request.contenders,
    );
    const results = await runImageRounds(contenders, request, scratch, context);
    const { link, rounds } = request;
    return benchDocument({ bench: 'index', input: inputOf(request, placed), rounds, link, peer: PEER, results });
  } finally {
    await removeImage(target, { client, say });
  }
}

const AFTER_BUILD = {
  id: 'buildkit-gzip-clip',
  title: 'BuildKit gzip export, push, then stock CLIP index (from the last build step)',
  compression: 'gzip',
  index: 'after-push',
} as const;

async function place(
  { image }: IndexBenchRequest,
  contextDir: string,
  directory: string,
  { client, jobs, signal }: BenchContext & { readonly client: RegistryClient },
): Promise<PlacedImage> {
  if (image.kind !== 'generated') return await placeImage(image, directory, { client, signal });
  const layoutDir = join(directory, 'image');
  await writeImage(image.spec, { contextDir, layout: { directory: layoutDir, codec: 'gzip' }, jobs, signal });
  const layout = await OciLayout.open(layoutDir, { signal });
  return await describePlaced(layout, await layout.resolve('latest'), { signal });
}

/** BuildKit compresses what it builds, and a given image is built already. */
function fromBuild(contender: Contender, { image }: IndexBenchRequest): Contender {
  if (image.kind === 'generated') return contender;
  return { ...contender, unavailable: 'an image that is given is compressed already: use --size and --files' };
}

function gzipOnly(placed: PlacedImage): string | undefined {
  return placed.gzipOnly ? undefined : 'stock CLIP reads gzip layers only, and the image has others';
}

function inputOf({ image }: IndexBenchRequest, placed: PlacedImage): Readonly<Record<string, string | number>> {
  const facts = { layers: placed.layers, compressedBytes: placed.compressedBytes, manifest: placed.manifest.digest };
  if (image.kind === 'generated') {
    const { files, seed, sizeBytes } = image.spec;
    return { image: 'generated', sizeBytes, files, seed, ...facts };
  }
  return { image: placeOf(image), ...facts };
}
