import { createHash, randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { chmod, mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Archive, type ClipNode, nodeTree, type RangeSource } from '../archive/index.ts';
import { type Digest, digestOf } from '../digest/index.ts';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { syncDirectory, syncFile, writeFileAtomically } from '../files/index.ts';
import { assembleArchive, DEFAULT_CHUNK_BYTES, packLayers } from '../indexer/index.ts';
import type { ObjectStore } from '../objects/index.ts';
import { localPlatform, MEDIA_TYPES } from '../oci/index.ts';
import { formatReference } from '../registry/index.ts';
import { makeArchivesDirectory, takeCached } from './cached-archive.ts';
import type { IndexContext } from './index-image.ts';
import { type V1Report, v1Plan } from './v1-plan.ts';

export interface CompleteV1Options extends IndexContext {
  readonly cacheDir: string;
  /** Cores to use. */
  readonly jobs: number;
  readonly openStore: (url?: string) => ObjectStore;
}

/** A V1 archive and where it lies. */
export interface V1Source {
  readonly archive: Archive;
  readonly source: RangeSource;
  readonly path: string;
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
 * any offset in a V1 archive, and the kernel reads whole blocks; so they are copied, once, by the native tool, which proves each file
 * that the archive has a digest of and indexes the layer on the way. Both are kept in the cache directory. Gives the archive's path; the
 * layer is `v1LayerOf` it. Throws ARCHIVE_CORRUPT, ARCHIVE_TRUNCATED, STORE_OBJECT_NOT_FOUND, ARCHIVE_NOT_LAZY for names that no layer
 * can hold, and what indexing throws.
 */
export async function completeV1(v1: V1Source, options: CompleteV1Options): Promise<string> {
  const { archive, source } = v1;
  await using data = await dataOf(v1, options);
  const nodes = await archive.nodes(options);
  const directory = await makeArchivesDirectory(options.cacheDir);
  const { indexBytes, indexOffset } = archive.header;
  const key = createHash('sha256').update('v1\n');
  key.update(await source.read(indexOffset, indexBytes, options));
  if (!nodes.every(isProven)) key.update(data.identity);
  const output = join(directory, `${key.digest('hex')}${ARCHIVE_END}`);
  const layer = v1LayerOf(output) ?? output;
  if ((await takeCached(layer)) && (await takeCached(output))) return output;
  options.log.warn(
    { reason: 'V1: the files inside, no layers' },
    'the archive does not say all that a mount needs: its files are copied into one layer, once, and indexed',
  );
  const scratch = join(directory, `.${randomUUID()}.v1.tmp`);
  try {
    await mkdir(scratch, { mode: 0o700 });
    const made = await imageOf(nodes, await data.open(scratch), scratch, options);
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
  /** Another one when the bytes are others. */
  readonly identity: string;
  /** The file that has them; what has to be fetched for that lies in a folder of the caller. */
  open(scratch: string): Promise<DataFile>;
}

interface DataFile {
  readonly path: string;
  readonly sizeBytes: number;
}

/** The bytes of the files: in the archive itself, or in the S3 object that it is the index of, read with this machine's settings. */
async function dataOf({ archive, path }: V1Source, options: CompleteV1Options): Promise<Data> {
  const storage = await archive.storage(options);
  if (storage.type === 'local') {
    const { ctimeNs, dev, ino, size } = await stat(path, { bigint: true });
    return {
      identity: [dev, ino, size, ctimeNs].join(' '),
      open: () => Promise.resolve({ path, sizeBytes: Number(size) }),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }
  if (storage.type !== 's3') throw new WorkerError('INTERNAL', 'no V1 archive');
  const store = options.openStore(`s3://${storage.bucket}`);
  try {
    const head = await store.head(storage.key, options);
    if (head === undefined)
      throw new WorkerError('STORE_OBJECT_NOT_FOUND', `there is no ${store.urlOf(storage.key)}`, { key: storage.key });
    return {
      identity: `${store.urlOf(storage.key)}\n${head.etag}`,
      open: (scratch) => fetchObject(store, storage.key, join(scratch, 'object'), options),
      [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
    };
  } catch (thrown) {
    await store[Symbol.asyncDispose]();
    throw thrown;
  }
}

async function fetchObject(store: ObjectStore, key: string, path: string, { signal }: Cancelable): Promise<DataFile> {
  const { body, sizeBytes } = await store.get(key, { signal });
  await writeFileAtomically(path, body, { signal, mode: 0o600 });
  return { path, sizeBytes };
}

/** The files as one layer, written and indexed in one pass, and the archive of an image of it. */
async function imageOf(
  nodes: readonly ClipNode[],
  data: DataFile,
  scratch: string,
  options: CompleteV1Options,
): Promise<{ readonly layer: string; readonly archive: string }> {
  const { jobs, limits, log, signal, tools } = options;
  const at = (name: string) => join(scratch, name);
  const { sockets } = await writePlan(nodes, data, at('plan'), { signal });
  if (sockets > 0) log.warn({ sockets }, 'sockets of the archive are left out');
  const task = { id: 'files', source: at('plan'), data: data.path, mediaType: MEDIA_TYPES.ociLayer };
  const compression = { codec: 'none', level: 0, chunkBytes: DEFAULT_CHUNK_BYTES } as const;
  const output = { output: at('layer'), index: at('index') };
  let layer: PackedFiles | undefined;
  for await (const packed of packLayers([{ ...task, ...output }], { compression, jobs, limits, signal, tools }))
    layer = packed.layer;
  if (layer === undefined) throw new WorkerError('NATIVE_TOOL_FAILED', 'clipyard-index pack ended without its layer');
  const { config, manifest } = documentsOf(layer);
  await Promise.all([writeFile(at('config'), config), writeFile(at('manifest'), manifest)]);
  const reference = digestOf(manifest);
  await assembleArchive(
    {
      output: at('archive'),
      layers: [{ index: at('index'), digest: layer.digest, mediaType: layer.mediaType }],
      config: at('config'),
      manifest: at('manifest'),
      storage: { ...PLACE, reference },
      imageName: formatReference({ ...PLACE, digest: reference }),
    },
    { signal, tools },
  );
  return { layer: at('layer'), archive: at('archive') };
}

async function writePlan(
  nodes: readonly ClipNode[],
  { sizeBytes }: DataFile,
  path: string,
  options: Cancelable,
): Promise<V1Report> {
  let report: V1Report = { sockets: 0 };
  function* records(): Generator<Buffer> {
    report = yield* v1Plan(nodeTree(nodes).all(), sizeBytes);
  }
  await pipeline(Readable.from(records()), createWriteStream(path, { flags: 'wx', mode: 0o600 }), options);
  return report;
}

interface PackedFiles {
  readonly digest: Digest;
  readonly diffId: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
}

function documentsOf({ diffId, digest, mediaType, sizeBytes }: PackedFiles) {
  const { architecture, os } = localPlatform();
  const config = Buffer.from(
    JSON.stringify({ architecture, os, config: {}, rootfs: { type: 'layers', diff_ids: [diffId] } }),
  );
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf(config), size: config.length },
    layers: [{ mediaType, digest, size: sizeBytes }],
  };
  return { config, manifest: Buffer.from(JSON.stringify(manifest)) };
}
