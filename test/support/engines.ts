import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Archive, bytesSource, fileSource, openArchive } from '../../src/archive/index.ts';
import type { Limits } from '../../src/config/index.ts';
import type { Digest } from '../../src/digest/index.ts';
import { WorkerError } from '../../src/errors/index.ts';
import { indexLayer, writePortableArchive } from '../../src/portable/index.ts';
import type { GeneratedStack } from './corpus/index.ts';
import { indexTool, verifyArchive } from './native/index.ts';

const { signal } = new AbortController();
const [registry, repository] = ['127.0.0.1:5000', 'engines/image'];
const imageName = `${registry}/${repository}:workspace-image`;

/** What both engines must agree on: these parts of an archive, or the code of the error. */
export type EngineOutcome =
  | {
      readonly clip: Buffer;
      readonly config: Buffer;
      readonly layers: Buffer;
      readonly entries: number;
      readonly warnings: Readonly<Record<string, number>>;
    }
  | { readonly code: string; readonly message: string };

/** An image in files. */
export interface StackFiles {
  readonly dir: string;
  readonly layers: readonly {
    readonly path: string;
    readonly mediaType: string;
    readonly digest: Digest;
    readonly diffId: Digest;
    readonly sizeBytes: number;
  }[];
  readonly config: Buffer;
  readonly manifest: Buffer;
  readonly reference: Digest;
  readonly chunkBytes: number;
  readonly limits: Partial<Limits>;
}

export function sha256(bytes: Uint8Array): Digest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}` as Digest;
}

export async function writeStack(
  dir: string,
  { annotations, chunkBytes, config: parts, layers }: GeneratedStack,
  limits: Partial<Limits> = {},
): Promise<StackFiles> {
  const written = await Promise.all(
    layers.map(async ({ blob, mediaType, tar }, at) => {
      const path = join(dir, `layer-${at}`);
      await writeFile(path, blob);
      return { path, mediaType, digest: sha256(blob), diffId: sha256(tar), sizeBytes: blob.length };
    }),
  );
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      ...parts,
      rootfs: { type: 'layers', diff_ids: written.map(({ diffId }) => diffId) },
    }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha256(config), size: config.length },
      layers: written.map(({ digest, mediaType, sizeBytes }) => ({ mediaType, digest, size: sizeBytes, annotations })),
    }),
  );
  return { dir, layers: written, config, manifest, reference: sha256(manifest), chunkBytes, limits };
}

/** Indexes with the native tool. */
export async function byNative(files: StackFiles): Promise<EngineOutcome> {
  const { chunkBytes, dir, layers, limits, reference } = files;
  const index = (at: number): string => join(dir, `layer-${at}.idx`);
  const paths = { output: join(dir, 'native.clip'), config: join(dir, 'config'), manifest: join(dir, 'manifest') };
  await writeFile(paths.config, files.config);
  await writeFile(paths.manifest, files.manifest);
  return outcomeOf(async () => {
    await indexTool('pack', {
      jobs: 1,
      chunkBytes,
      limits,
      layers: layers.map(({ diffId, digest, mediaType, path, sizeBytes }, at) => ({
        id: String(at),
        source: path,
        mediaType,
        diffId,
        expectedDigest: digest,
        expectedSize: sizeBytes,
        action: { kind: 'keep' },
        index: index(at),
      })),
    });
    const results = await indexTool('assemble', {
      ...paths,
      layers: layers.map(({ digest, mediaType }, at) => ({ index: index(at), digest, mediaType })),
      storage: { registry, repository, reference },
      imageName,
    });
    const { warnings } = results.get('') as { warnings: Record<string, number> };
    return { path: paths.output, warnings };
  });
}

/** Indexes with the engine in TypeScript. */
export async function byPortable(files: StackFiles): Promise<EngineOutcome> {
  const { chunkBytes, config, limits, manifest, reference } = files;
  const output = join(files.dir, 'portable.clip');
  return outcomeOf(async () => {
    const layers = [];
    for (const { path, mediaType, diffId, digest, sizeBytes } of files.layers)
      layers.push(
        await indexLayer({ path, mediaType, diffId, expected: { digest, sizeBytes } }, { chunkBytes, limits, signal }),
      );
    const storage = { registry, repository, reference };
    const { warnings } = await writePortableArchive(
      { output, layers, config, manifest, storage, imageName },
      { signal },
    );
    await verifyArchive(output); // the native verifier takes it as well
    return { path: output, warnings };
  });
}

async function outcomeOf(
  work: () => Promise<{ readonly path: string; readonly warnings: Readonly<Record<string, number>> }>,
): Promise<EngineOutcome> {
  try {
    const { path, warnings } = await work();
    await using source = await fileSource(path);
    const archive = await openArchive(source, { signal });
    await archive.verify({ signal });
    return { ...(await partsOf(archive, await source.read(0, archive.footer!.clipBytes, { signal }))), warnings };
  } catch (thrown) {
    if (thrown instanceof WorkerError) return { code: thrown.code, message: thrown.message };
    throw thrown;
  }
}

async function partsOf(archive: Archive, clip: Buffer) {
  const [config, layers] = [await archive.section('config', { signal }), await archive.section('layers', { signal })];
  const nodes = await archive.nodes({ signal });
  return { clip, config: config!, layers: await withoutExtra(layers!, archive), entries: nodes.length };
}

/** Section `layers` as it would be without the record of section `extra`, which is the last one and only native has. */
async function withoutExtra(section: Buffer, archive: Archive): Promise<Buffer> {
  const records = await archive.layers({ signal });
  const extra = records.at(-1);
  if (extra?.kind !== 'extra') return section;
  const chunkColumn = Math.ceil((extra.chunkLengths.length * 4) / 8) * 8;
  const bytes = 112 + extra.spans.length * 16 + chunkColumn + extra.chunkDigests.length;
  const without = Buffer.from(section.subarray(0, section.length - bytes));
  without.writeUInt32LE(records.length - 1, 0);
  return without;
}

/** An archive's bytes as it lies in memory. */
export async function openBytes(bytes: Buffer): Promise<Archive> {
  return openArchive(bytesSource(bytes), { signal });
}
