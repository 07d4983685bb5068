import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { OciLayout } from '../oci/index.ts';
import type { RegistryClient } from '../registry/index.ts';
import { type BenchContext, checkNames, openScratch } from './bench-context.ts';
import { pushImage, removeImage } from './contenders/registry-image.ts';
import type { ImageSpec } from './image/generated-image.ts';
import { gzipCopy } from './image/gzip-copy.ts';
import { describePlaced, type GivenImage, type PlacedImage, placeImage } from './image/place-image.ts';
import { writeImage } from './image/write-image.ts';
import type { Link } from './link/link.ts';
import { ShapingProxy } from './link/shaping-proxy.ts';
import { runMeasured } from './measure/run-measured.ts';
import { clipyardMountContender, profiledMountContender } from './mount/clipyard-mount.ts';
import { runMountRounds } from './mount/mount-rounds.ts';
import { FAR_BYTES, type NotableFiles, notableFiles } from './mount/notable-files.ts';
import { LOOK_AT_ROOT, type OperationName, operationsOf } from './mount/operations.ts';
import { overlayMountContender } from './mount/overlay-mount.ts';
import { stockMountContender } from './mount/stock-mount.ts';
import { type BenchDocument, documentHead } from './report/document.ts';
import { mountRatios } from './report/mount-ratios.ts';
import { mountResult } from './report/mount-result.ts';

export interface MountBenchRequest {
  readonly image: GivenImage | { readonly kind: 'generated'; readonly spec: ImageSpec };
  /** `host:port` of the registry that the image is put into for a while. */
  readonly registry: string;
  readonly rounds: number;
  readonly contenders: readonly string[] | undefined;
  readonly link: Link | undefined;
  /** A shell's command lines that are started in the mounted tree. */
  readonly execs: readonly string[];
  /** What is done besides; undefined: everything. */
  readonly operations: readonly OperationName[] | undefined;
}

const CONTENDERS = ['erofs', 'erofs-profile', 'fuse', 'fuse-profile', 'clip', 'overlayfs'];
const TAG = 'image';
const GZIP_TAG = 'gzip';

/** One image made readable by every contender, and read in the same ways. What was put anywhere is removed again. */
export async function benchMount(
  request: MountBenchRequest,
  context: BenchContext & { readonly client: RegistryClient },
): Promise<BenchDocument> {
  const { client, clipyard, say, signal, stateDir, tools } = context;
  const { execs, link, registry, rounds } = request;
  checkNames(CONTENDERS, request.contenders); // before an image is made for nothing
  await using scratch = await openScratch(stateDir);
  say('preparing the image');
  const placed = await place(request, scratch.directory, context);
  const files = await notableFiles(placed, { signal });
  const target = { registry, repository: `${scratch.name}-source`, tag: TAG };
  const gzipTarget = { ...target, repository: `${scratch.name}-gzip`, tag: GZIP_TAG };
  try {
    await pushImage(placed.layout, placed.manifest, target, { client, signal });
    const archivePath = await indexed(placed, target, scratch.directory, context);
    const forClip = wants(request, 'clip') && !placed.gzipOnly;
    if (forClip) {
      say('a copy with gzip layers for the stock mount, which reads nothing else');
      await pushImage(placed.layout, await gzipCopy(placed, { signal }), gzipTarget, { client, signal });
    }
    await rm(placed.layout.directory, { recursive: true }); // everybody reads it from the registry
    const contenders = [
      ...(['erofs', 'fuse'] as const).flatMap((engine) => {
        const of = { engine, image: { ...target, archivePath }, clipyard };
        const profiles = { profilesDir: scratch.directory, starts: execs.length > 0 };
        return [clipyardMountContender(of), profiledMountContender(of, profiles)];
      }),
      stockMountContender(forClip ? gzipTarget : target, tools, { archivesDir: scratch.directory }),
      overlayMountContender(target, client),
    ].filter(({ id }) => wants(request, id));
    const chosen = operationsOf(files, execs).filter(
      ({ isStart = false, name }) => isStart || (request.operations?.some((wanted) => wanted === name) ?? true),
    );
    const operations = chosen.length === 0 ? [LOOK_AT_ROOT] : chosen;
    await using proxy = await ShapingProxy.start(registry, link);
    const results = await runMountRounds(contenders, operations, {
      ...{ rounds, registry, proxy, say, signal },
      shaped: link !== undefined,
      scratchDir: scratch.directory,
    });
    const mounts = results.flatMap((runs) => {
      const mount = mountResult(runs);
      return mount === undefined ? [] : [{ id: runs.contender.id, mount }];
    });
    return {
      ...documentHead('mount', inputOf(request, placed, files), rounds),
      ...(link !== undefined && { link }),
      contenders: results.map(({ contender: { id, title, unavailable } }) => {
        const found = mounts.find((each) => each.id === id);
        const numbers = found && { mount: found.mount, ratios: mountRatios(found, mounts) };
        return { id, title, ...(numbers ?? { unavailable }), runs: [] };
      }),
    };
  } finally {
    await removeImage(target, { client, say });
    await removeImage(gzipTarget, { client, say });
  }
}

function wants({ contenders }: MountBenchRequest, id: string): boolean {
  return contenders?.includes(id) ?? true;
}

/** A generated image has a file of its own for the far read, at most a twentieth of the image. */
async function place(
  { image }: MountBenchRequest,
  directory: string,
  { client, jobs, signal }: BenchContext & { readonly client: RegistryClient },
): Promise<PlacedImage> {
  if (image.kind !== 'generated') return await placeImage(image, directory, { client, signal });
  const layoutDir = join(directory, 'image');
  const lastFileBytes = Math.min(FAR_BYTES, Math.floor(image.spec.sizeBytes / 20));
  const spec = { ...image.spec, lastFileBytes };
  await writeImage(spec, { layout: { directory: layoutDir, codec: 'gzip' }, jobs, signal });
  const layout = await OciLayout.open(layoutDir, { signal });
  return await describePlaced(layout, await layout.resolve('latest'), { signal });
}

async function indexed(
  { layout }: PlacedImage,
  { registry, repository, tag }: { readonly registry: string; readonly repository: string; readonly tag: string },
  directory: string,
  { clipyard, signal }: BenchContext,
): Promise<string> {
  const state = join(directory, 'indexing');
  await mkdir(state);
  const archivePath = join(directory, 'image.clip');
  const storage = ['--storage-ref', `${registry}/${repository}:${tag}`];
  const args = ['index', '--from', `oci:${layout.directory}:latest`, ...storage, '--output', archivePath, '--no-cache'];
  const env = { ...clipyard.env, CLIPYARD_STATE: state, CLIPYARD_LOG: 'error' };
  await runMeasured({ command: [...clipyard.self, '--json', ...args], env }, { signal });
  return archivePath;
}

function inputOf(
  { execs, image }: MountBenchRequest,
  { compressedBytes, layers, manifest }: PlacedImage,
  { entries, far, largest }: NotableFiles,
): Readonly<Record<string, string | number>> {
  const generated = image.kind === 'generated';
  return {
    image: generated ? 'generated' : image.kind === 'oci' ? 'OCI layout' : 'registry',
    ...(generated && { sizeBytes: image.spec.sizeBytes, files: image.spec.files, seed: image.spec.seed }),
    ...{ layers, entries, compressedBytes, manifest: manifest.digest },
    ...{ largestFile: largest.path, largestBytes: largest.sizeBytes },
    ...{ farFile: far.path, farBytes: Math.min(far.sizeBytes, FAR_BYTES), farLayerBytes: far.layerBytes },
    ...Object.fromEntries(execs.map((exec, at) => [at === 0 ? 'exec' : `exec-${at + 1}`, exec])),
  };
}
