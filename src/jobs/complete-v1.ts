import { createHash, randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { access, chmod, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type Archive, type ClipNode, nodeTree, type RangeSource } from '../archive/index.ts';
import { type Digest, digestOf, digestOfHex } from '../digest/index.ts';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { syncDirectory, syncFile } from '../files/index.ts';
import { DEFAULT_CHUNK_BYTES } from '../indexer/index.ts';
import type { ObjectStore } from '../objects/index.ts';
import { localPlatform, MEDIA_TYPES, OciLayout } from '../oci/index.ts';
import { type IndexContext, makeArchive } from './index-image.ts';
import { objectSource } from './object-source.ts';
import { type V1TarReport, v1Tar } from './v1-tar.ts';

export interface CompleteV1Options extends IndexContext {
  readonly cacheDir: string;
  /** Cores to use. */
  readonly jobs: number;
  readonly openStore: (url?: string) => ObjectStore;
}

/** No registry has the layer: the name says so, and `.invalid` never resolves (RFC 2606). */
const PLACE = { registry: 'v1.invalid', repository: 'archive' };
const ARCHIVE_END = '.v1.clip';

/** The plain layer beside an archive that `completeV1` made; undefined for any other. */
export function v1LayerOf(path: string): string | undefined {
  return path.endsWith(ARCHIVE_END) ? `${path.slice(0, -ARCHIVE_END.length)}.v1.tar` : undefined;
}

/**
 * Makes of a V1 archive what can be mounted: its files as one plain layer, and the archive of an image of that layer. The files lie at
 * any offset in a V1 archive, and the kernel reads whole blocks; so they are copied, once, and kept in the cache directory. Where
 * the archive has digests of its files, each is proven. Gives the archive's path; the layer is `v1LayerOf` it. Throws
 * ARCHIVE_CORRUPT, ARCHIVE_TRUNCATED, STORE_OBJECT_NOT_FOUND, ARCHIVE_NOT_LAZY for names that no layer can hold, and what
 * indexing throws.
 */
export async function completeV1(archive: Archive, source: RangeSource, options: CompleteV1Options): Promise<string> {
  await using data = await dataOf(archive, source, options);
  const nodes = await archive.nodes(options);
  const directory = join(options.cacheDir, 'archives');
  await mkdir(directory, { recursive: true });
  const { indexBytes, indexOffset } = archive.header;
  const key = createHash('sha256').update('v1\n');
  key.update(await source.read(indexOffset, indexBytes, options));
  if (!nodes.every(isProven)) key.update(await data.identity());
  const output = join(directory, `${key.digest('hex')}${ARCHIVE_END}`);
  const layer = v1LayerOf(output) ?? output;
  if ((await isThere(layer)) && (await isThere(output))) return output;
  options.log.warn(
    { reason: 'V1: the files inside, no layers' },
    'the archive does not say all that a mount needs: its files are copied into one layer, once, and indexed',
  );
  const scratch = join(directory, `.${randomUUID()}.v1.tmp`);
  try {
    const made = await imageOf(nodes, data.source, scratch, options);
    await chmod(made.layer, 0o600); // the files may be private
    await syncFile(made.layer);
    await rename(made.layer, layer);
    await rename(made.archive, output); // last: an archive says that its layer is there
    await syncDirectory(directory);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return output;
}

/** Whether the node list proves the bytes. */
function isProven({ contentHash, dataBytes, type }: ClipNode): boolean {
  return type !== 'file' || dataBytes === 0 || contentHash !== '';
}

interface Data extends AsyncDisposable {
  readonly source: RangeSource;
  /** Another one when the bytes are others. */
  readonly identity: () => Promise<string>;
}

/** The bytes of the files: in the archive itself, or in the S3 object that it is the index of, read with this machine's settings. */
async function dataOf(archive: Archive, source: RangeSource, options: CompleteV1Options): Promise<Data> {
  const storage = await archive.storage(options);
  if (storage.type === 'local') {
    const identity = () => digestOfSource(source, options);
    return { source, identity, [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  if (storage.type !== 's3') throw new WorkerError('INTERNAL', 'no V1 archive');
  const store = options.openStore(`s3://${storage.bucket}`);
  try {
    const head = await store.head(storage.key, options);
    if (head === undefined)
      throw new WorkerError('STORE_OBJECT_NOT_FOUND', `there is no ${store.urlOf(storage.key)}`, { key: storage.key });
    return {
      source: objectSource(store, storage.key, head.sizeBytes),
      identity: () => Promise.resolve(`${store.urlOf(storage.key)}\n${head.etag}`),
      [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
    };
  } catch (thrown) {
    await store[Symbol.asyncDispose]();
    throw thrown;
  }
}

async function digestOfSource(source: RangeSource, options: Cancelable): Promise<string> {
  const [hash, step] = [createHash('sha256'), 1 << 20];
  for (let at = 0; at < source.sizeBytes; at += step)
    hash.update(await source.read(at, Math.min(step, source.sizeBytes - at), options));
  return hash.digest('hex');
}

/** An image of one layer in an OCI layout, and its archive. */
async function imageOf(
  nodes: readonly ClipNode[],
  data: RangeSource,
  scratch: string,
  options: CompleteV1Options,
): Promise<{ readonly layer: string; readonly archive: string }> {
  const { jobs, log, signal } = options;
  const layout = await OciLayout.open(join(scratch, 'layout'), { create: true, signal });
  const path = await layout.temporaryPath();
  const { report, ...layer } = await writeTar(nodes, data, path, { signal });
  if (report.sockets > 0) log.warn({ sockets: report.sockets }, 'sockets of the archive are left out');
  await layout.adoptFile(path, layer);
  const reference = await tagImage(layout, layer, { signal });
  const archive = join(scratch, 'made.clip');
  const request = {
    source: { kind: 'oci', directory: layout.directory, name: 'latest' },
    storage: { ...PLACE, digest: reference },
    output: archive,
    platform: localPlatform(),
    platformAsked: false,
    engine: 'native',
    jobs,
    chunkBytes: DEFAULT_CHUNK_BYTES,
    useCache: false,
    format: 'clipyard',
  } as const;
  await makeArchive(request, options);
  return { layer: layout.blobPath(layer.digest), archive };
}

interface WrittenLayer {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

async function writeTar(
  nodes: readonly ClipNode[],
  data: RangeSource,
  path: string,
  options: Cancelable,
): Promise<WrittenLayer & { readonly report: V1TarReport }> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  let report: V1TarReport = { sockets: 0 };
  async function* hashed(): AsyncGenerator<Buffer> {
    const tar = v1Tar(nodeTree(nodes).all(), data, options);
    for (let next = await tar.next(); ; next = await tar.next()) {
      if (next.done === true) {
        report = next.value;
        return;
      }
      hash.update(next.value);
      sizeBytes += next.value.length;
      yield next.value;
    }
  }
  await pipeline(hashed(), createWriteStream(path, { flags: 'wx', mode: 0o600 }), options);
  return { digest: digestOfHex(hash.digest('hex')), sizeBytes, report };
}

async function tagImage(layout: OciLayout, layer: WrittenLayer, options: Cancelable): Promise<Digest> {
  const { architecture, os } = localPlatform();
  const config = Buffer.from(
    JSON.stringify({ architecture, os, config: {}, rootfs: { type: 'layers', diff_ids: [layer.digest] } }),
  );
  const configDigest = digestOf(config);
  await layout.addBlob(config, { digest: configDigest, sizeBytes: config.length }, options);
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, digest: configDigest, size: config.length },
    layers: [{ mediaType: MEDIA_TYPES.ociLayer, digest: layer.digest, size: layer.sizeBytes }],
  };
  const descriptor = await layout.putManifest(Buffer.from(JSON.stringify(manifest)), MEDIA_TYPES.ociManifest, options);
  await layout.setTag('latest', descriptor, options);
  return descriptor.digest;
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
