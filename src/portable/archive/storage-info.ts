import { hexOf } from '../../digest/index.ts';
import type { IndexedLayer } from '../index-layer.ts';
import { defineTypes, STORAGE_TYPES, VALUE_IDS, WRAPPER_TYPES } from './clip-types.ts';
import { goTimeOf } from './created.ts';
import { GobWriter, StructWriter } from './gob-writer.ts';
import type { RepeatedConfig, RepeatedManifest } from './image-documents.ts';

/** What the storage info of an image is a function of. */
export interface StorageInput {
  readonly manifest: RepeatedManifest;
  readonly config: RepeatedConfig;
  /** In manifest order. */
  readonly layers: readonly IndexedLayer[];
  readonly registry: string;
  readonly repository: string;
  /** Digest of the platform manifest. */
  readonly reference: string;
  readonly imageName: string;
}

/** The storage info of the CLIP part (docs/formats/clip.md, "Storage info"). */
export function encodeStorageInfo(input: StorageInput): Buffer {
  const data = new GobWriter();
  defineTypes(data, STORAGE_TYPES);
  data.message((out) => {
    out.int(VALUE_IDS.storage);
    writeStorage(out, input);
  });
  const wrapper = new GobWriter();
  defineTypes(wrapper, WRAPPER_TYPES);
  wrapper.message((out) => {
    out.int(VALUE_IDS.wrapper);
    const fields = new StructWriter(out);
    fields.text(0, 'oci');
    fields.field(1).bytes(data.finish());
    fields.end();
  });
  return wrapper.finish();
}

function writeStorage(out: GobWriter, input: StorageInput): void {
  const { layers, registry, repository, reference } = input;
  const fields = new StructWriter(out);
  fields.text(0, registry);
  fields.text(1, repository);
  fields.text(2, reference);
  fields.texts(
    3,
    layers.map(({ digest }) => digest),
  );
  const gzip = layers.filter(({ codec }) => codec === 'gzip');
  fields.map(4, new Map(gzip.map((layer) => [layer.digest, layer])), writeGzipIndex);
  fields.map(6, new Map(layers.map(({ digest, diffId }) => [digest, hexOf(diffId)])), writeText);
  writeMetadata(fields.field(7), input);
  fields.end();
}

/** Only the checkpoint at the end: a stock reader acts wrongly on one at the start of a member. */
function writeGzipIndex(out: GobWriter, { digest, blobBytes, plainBytes }: IndexedLayer): void {
  const fields = new StructWriter(out);
  fields.text(0, digest);
  fields.list(1, [{ blobBytes, plainBytes }], (inner, checkpoint) => {
    const point = new StructWriter(inner);
    point.int(0, checkpoint.blobBytes);
    point.int(1, checkpoint.plainBytes);
    point.end();
  });
  fields.end();
}

function writeMetadata(out: GobWriter, { config, imageName, layers, manifest, reference }: StorageInput): void {
  const { config: run } = config;
  const created = goTimeOf(config.created);
  const fields = new StructWriter(out);
  fields.text(0, imageName);
  fields.text(1, reference);
  if (created !== undefined) fields.field(3).bytes(created);
  fields.text(4, config.docker_version);
  writeTextMap(fields, 5, run?.Labels);
  fields.text(6, config.architecture);
  fields.text(7, config.os);
  fields.text(8, config.variant);
  fields.text(9, config.author);
  fields.texts(10, run?.Env ?? []);
  fields.texts(11, run?.Cmd ?? []);
  fields.texts(12, run?.Entrypoint ?? []);
  fields.text(13, run?.User ?? '');
  fields.text(14, run?.WorkingDir ?? '');
  // the stock writer makes both maps even when they are empty, and an empty map is sent
  fields.map(15, run?.ExposedPorts ?? new Map(), writeEmptyStruct);
  fields.map(16, run?.Volumes ?? new Map(), writeEmptyStruct);
  fields.text(17, run?.StopSignal ?? '');
  fields.texts(
    18,
    layers.map(({ digest }) => digest),
  );
  fields.list(19, manifest.layers, (inner, { annotations, digest, mediaType, size }) => {
    const layer = new StructWriter(inner);
    layer.text(0, mediaType);
    layer.text(1, digest);
    layer.int(2, size);
    writeTextMap(layer, 3, annotations);
    layer.end();
  });
  fields.end();
}

function writeTextMap(fields: StructWriter, number: number, map: ReadonlyMap<string, string> = new Map()): void {
  if (map.size > 0) fields.map(number, map, writeText);
}

function writeText(out: GobWriter, value: string): void {
  out.text(value);
}

function writeEmptyStruct(out: GobWriter): void {
  out.uint(0);
}
