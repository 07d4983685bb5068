import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import pLimit from 'p-limit';
import { type Digest, digestOf, digestOfHex } from '../../digest/index.ts';
import type { Cancelable } from '../../errors/index.ts';
import { canonicalJson, type Descriptor, localPlatform, MEDIA_TYPES, OciLayout } from '../../oci/index.ts';
import { tarName, writeDockerfile } from './build-context.ts';
import { Contents } from './contents.ts';
import { type GeneratedLayer, generateImage, type ImageSpec } from './generated-image.ts';
import { tarOf } from './tar-stream.ts';

export interface WriteOptions extends Cancelable {
  /** A build context: `layer<n>.tar` and a Dockerfile that adds each. */
  readonly contextDir?: string;
  readonly layout?: { readonly directory: string; readonly codec: 'gzip' | 'plain' };
  /** Layers written at once. */
  readonly jobs: number;
}

export interface WrittenImage {
  /** Of all tars. */
  readonly plainBytes: number;
  readonly entries: number;
  /** Of the layout, tagged `latest`; undefined when only a context was asked for. */
  readonly manifest: Descriptor | undefined;
}

interface WrittenLayer {
  readonly diffId: Digest;
  readonly plainBytes: number;
  readonly entries: number;
  readonly descriptor: Descriptor | undefined;
}

/** Writes a generated image in one pass over its bytes, as what BuildKit builds from, as an OCI layout, or both. */
export async function writeImage(spec: ImageSpec, options: WriteOptions): Promise<WrittenImage> {
  const { contextDir, jobs, layout: wanted, signal } = options;
  const contents = new Contents(spec.seed);
  const layers = generateImage(spec);
  if (contextDir !== undefined) await mkdir(contextDir, { recursive: true });
  const layout = wanted === undefined ? undefined : await OciLayout.open(wanted.directory, { create: true, signal });
  const limit = pLimit(jobs);
  const written = await Promise.all(
    layers.map((layer, at) =>
      limit(() =>
        writeLayer(layer, contents, {
          signal,
          tarPath: contextDir === undefined ? undefined : join(contextDir, tarName(at)),
          layout,
          codec: wanted?.codec ?? 'plain',
        }),
      ),
    ),
  );
  if (contextDir !== undefined) {
    await writeDockerfile(
      contextDir,
      layers.map((_, at) => tarName(at)),
    );
  }
  return {
    plainBytes: written.reduce((sum, { plainBytes }) => sum + plainBytes, 0),
    entries: written.reduce((sum, { entries }) => sum + entries, 0),
    manifest: layout === undefined ? undefined : await writeManifest(layout, written, { signal }),
  };
}

interface LayerTarget extends Cancelable {
  readonly tarPath: string | undefined;
  readonly layout: OciLayout | undefined;
  readonly codec: 'gzip' | 'plain';
}

async function writeLayer(
  layer: GeneratedLayer,
  contents: Contents,
  { codec, layout, signal, tarPath }: LayerTarget,
): Promise<WrittenLayer> {
  let entries = 0;
  const counted = {
    *[Symbol.iterator]() {
      for (const entry of layer) {
        entries++;
        yield entry;
      }
    },
  };
  const plain = meter();
  const stored = meter();
  const blobPath = await layout?.temporaryPath('generated');
  const tar = Readable.from(tarOf(counted, contents), { highWaterMark: 2 });
  const toBlob = new PassThrough();
  const writes: Promise<void>[] = [];
  if (blobPath !== undefined) {
    // One member, level 6: what registries hold.
    const squeeze = codec === 'gzip' ? createGzip({ level: 6, chunkSize: 256 * 1024 }) : new PassThrough();
    writes.push(pipeline(toBlob, squeeze, stored.stream, createWriteStream(blobPath), { signal }));
  }
  const toTar = new PassThrough();
  if (tarPath !== undefined) writes.push(pipeline(toTar, createWriteStream(tarPath), { signal }));
  const sinks = [...(blobPath === undefined ? [] : [toBlob]), ...(tarPath === undefined ? [] : [toTar])];
  writes.push(pipeline(tar, plain.stream, (source: AsyncIterable<Buffer>) => fanOut(source, sinks), { signal }));
  await Promise.all(writes);
  const diffId = plain.digest();
  if (layout === undefined || blobPath === undefined)
    return { diffId, plainBytes: plain.bytes(), entries, descriptor: undefined };
  const descriptor: Descriptor = {
    mediaType: codec === 'gzip' ? MEDIA_TYPES.ociLayerGzip : MEDIA_TYPES.ociLayer,
    digest: stored.digest(),
    size: stored.bytes(),
  };
  await layout.adoptFile(blobPath, { digest: descriptor.digest, sizeBytes: descriptor.size });
  return { diffId, plainBytes: plain.bytes(), entries, descriptor };
}

async function fanOut(source: AsyncIterable<Buffer>, sinks: readonly PassThrough[]): Promise<void> {
  for await (const chunk of source) {
    for (const sink of sinks) {
      if (!sink.write(chunk)) await drained(sink);
    }
  }
  for (const sink of sinks) sink.end();
}

/** Also when the sink broke: whoever writes to it next hears of it. */
async function drained(sink: PassThrough): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = () => {
      sink.off('drain', done).off('close', done);
      resolve();
    };
    sink.on('drain', done).on('close', done);
  });
}

function meter(): { readonly stream: Transform; readonly bytes: () => number; readonly digest: () => Digest } {
  const hash = createHash('sha256');
  let bytes = 0;
  const stream = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      hash.update(chunk);
      done(undefined, chunk);
    },
  });
  return { stream, bytes: () => bytes, digest: () => digestOfHex(hash.digest('hex')) };
}

async function writeManifest(
  layout: OciLayout,
  layers: readonly WrittenLayer[],
  { signal }: Cancelable,
): Promise<Descriptor> {
  const { architecture, os } = localPlatform();
  const config = Buffer.from(
    canonicalJson({
      architecture,
      os,
      config: { Cmd: ['/bin/true'] },
      rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    }),
  );
  const configDigest = digestOf(config);
  await layout.addBlob(config, { digest: configDigest, sizeBytes: config.length }, { signal });
  const manifest = canonicalJson({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, digest: configDigest, size: config.length },
    layers: layers.map(({ descriptor }) => descriptor),
  });
  const descriptor = await layout.putManifest(Buffer.from(manifest), MEDIA_TYPES.ociManifest, { signal });
  await layout.setTag('latest', descriptor, { signal });
  return descriptor;
}
