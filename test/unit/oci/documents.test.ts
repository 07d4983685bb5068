import fc from 'fast-check';
import { expect, test } from 'vitest';
import { digestOf } from '../../../src/digest/index.ts';
import {
  canonicalJson,
  layerCodecOf,
  MEDIA_TYPES,
  parseImageConfig,
  parseIndex,
  parseManifest,
  platformOfConfig,
} from '../../../src/oci/index.ts';

const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const descriptor = (mediaType: string, content: string, extra: object = {}) => ({
  mediaType,
  digest: digestOf(content),
  size: content.length,
  ...extra,
});
const config = descriptor(MEDIA_TYPES.ociConfig, 'config');
const layer = descriptor(MEDIA_TYPES.ociLayerZstd, 'layer', { annotations: { a: 'b' } });
const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers: [layer] };
const index = {
  schemaVersion: 2,
  mediaType: MEDIA_TYPES.ociIndex,
  manifests: [
    descriptor(MEDIA_TYPES.ociManifest, 'm', { platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } }),
  ],
};
const image = {
  os: 'linux',
  architecture: 'amd64',
  config: { Env: ['A=b'], Cmd: ['sh'] },
  rootfs: { type: 'layers', diff_ids: [digestOf('plain')] },
};

test('documents are read', () => {
  expect(parseManifest(json(manifest))).toEqual(manifest);
  expect(parseIndex(json(index))).toEqual(index);
  expect(parseImageConfig(json(image))).toEqual(image);
});

test('Docker’s documents have the same shape', () => {
  const docker = {
    ...manifest,
    mediaType: MEDIA_TYPES.dockerManifest,
    config: { ...config, mediaType: MEDIA_TYPES.dockerConfig },
  };
  expect(parseManifest(json(docker))).toEqual(docker);
  expect(parseIndex(json({ ...index, mediaType: MEDIA_TYPES.dockerIndex })).manifests).toHaveLength(1);
});

test('nulls and unknown fields of other writers are left out', () => {
  const written = {
    ...image,
    config: { Env: null, Entrypoint: null, Labels: null, OnBuild: null },
    history: null,
    moby: { x: 1 },
  };
  expect(parseImageConfig(json(written))).toEqual({
    os: 'linux',
    architecture: 'amd64',
    config: {},
    rootfs: image.rootfs,
  });
  expect(parseIndex(json({ schemaVersion: 2, manifests: null }))).toEqual({ schemaVersion: 2, manifests: [] });
  expect(parseManifest(json({ ...manifest, annotations: null, extra: [] }))).toEqual(manifest);
  expect(parseManifest(json({ ...manifest, layers: null }))).toEqual({ ...manifest, layers: [] });
  expect(parseImageConfig(json({ ...image, rootfs: { type: 'layers', diff_ids: null } })).rootfs.diff_ids).toEqual([]);
});

test.for<[why: string, document: unknown]>([
  ['no object', 5],
  ['schema 1', { ...manifest, schemaVersion: 1 }],
  ['no configuration', { ...manifest, config: undefined }],
  ['no layers', { ...manifest, layers: undefined }],
  ['an index’s media type', { ...manifest, mediaType: MEDIA_TYPES.ociIndex }],
  ['an index at the same time', { ...manifest, manifests: [] }],
  ['a negative size', { ...manifest, layers: [{ ...layer, size: -1 }] }],
  ['a fraction as size', { ...manifest, layers: [{ ...layer, size: 1.5 }] }],
  ['an unsafe size', { ...manifest, layers: [{ ...layer, size: 2 ** 60 }] }],
  ['a path as digest', { ...manifest, layers: [{ ...layer, digest: 'sha256:../../etc/passwd' }] }],
  ['another algorithm', { ...manifest, layers: [{ ...layer, digest: `sha512:${'a'.repeat(128)}` }] }],
  ['an empty media type', { ...manifest, layers: [{ ...layer, mediaType: '' }] }],
])('a manifest with %s is refused', ([, document]) => {
  expect(() => parseManifest(json(document))).toThrow(expect.objectContaining({ code: 'MANIFEST_INVALID' }));
});

test('an index that is a manifest at the same time is refused', () => {
  for (const extra of [{ config }, { layers: [] }, { mediaType: MEDIA_TYPES.ociManifest }]) {
    expect(() => parseIndex(json({ ...index, ...extra }))).toThrow(
      expect.objectContaining({ code: 'MANIFEST_INVALID' }),
    );
  }
});

test.for<[why: string, bytes: Uint8Array, code: string]>([
  ['too large', Buffer.alloc(4 * 1024 * 1024 + 1, ' '), 'LIMIT_EXCEEDED'],
  ['nested too deep', Buffer.from(`{"x":${'['.repeat(100)}${']'.repeat(100)}}`), 'LIMIT_EXCEEDED'],
  ['nested a million deep', Buffer.from('['.repeat(1_000_000)), 'LIMIT_EXCEEDED'],
  ['no JSON', Buffer.from('<html>'), 'MANIFEST_INVALID'],
  ['empty', Buffer.alloc(0), 'MANIFEST_INVALID'],
  ['no UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'MANIFEST_INVALID'],
  ['with a byte order mark', Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), json(manifest)]), 'MANIFEST_INVALID'],
])('a document that is %s is refused', ([, bytes, code]) => {
  expect(() => parseManifest(bytes)).toThrow(expect.objectContaining({ code }));
});

test('brackets inside strings are no nesting', () => {
  const deep = '[{'.repeat(200);
  const layers = [{ ...layer, annotations: { text: `${deep}\\"${deep}`, quote: '"' } }];
  expect(parseManifest(json({ ...manifest, layers })).layers[0]?.annotations?.['quote']).toBe('"');
});

test('any truncation of a document is our error', () => {
  const bytes = json(manifest);
  fc.assert(
    fc.property(fc.integer({ min: 0, max: bytes.length - 1 }), (length) => {
      expect(() => parseManifest(bytes.subarray(0, length))).toThrow(
        expect.objectContaining({ code: 'MANIFEST_INVALID' }),
      );
    }),
  );
});

test('any JSON is a document or our error', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      for (const parse of [parseManifest, parseIndex, parseImageConfig]) {
        expect(() => parse(json(value))).toThrow(
          expect.objectContaining({ code: expect.stringMatching(/^(MANIFEST_INVALID|LIMIT_EXCEEDED)$/) as string }),
        );
      }
    }),
  );
});

test('canonical JSON keeps the order of keys and leaves out what is absent', () => {
  expect(Buffer.from(canonicalJson({ b: 1, a: undefined, c: { z: [1, 'ä'] } })).toString()).toBe(
    '{"b":1,"c":{"z":[1,"ä"]}}',
  );
  expect(() => canonicalJson(undefined)).toThrow(expect.objectContaining({ code: 'INTERNAL' }));
});

test.for([
  ['application/vnd.oci.image.layer.v1.tar', 'plain'],
  ['application/vnd.oci.image.layer.v1.tar+gzip', 'gzip'],
  ['application/vnd.oci.image.layer.v1.tar+zstd', 'zstd'],
  ['application/vnd.docker.image.rootfs.diff.tar.gzip', 'gzip'],
] as const)('%s is %s', ([mediaType, codec]) => {
  expect(layerCodecOf(mediaType)).toBe(codec);
});

test.for(['application/vnd.oci.image.layer.v1.tar+xz', 'application/vnd.in-toto+json', 'constructor', ''])(
  '%j is no layer',
  (mediaType) => {
    expect(() => layerCodecOf(mediaType)).toThrow(expect.objectContaining({ code: 'MEDIA_TYPE_UNSUPPORTED' }));
  },
);

test('a configuration names its platform', () => {
  expect(platformOfConfig(parseImageConfig(json({ ...image, variant: '', architecture: 'arm64' })))).toEqual({
    os: 'linux',
    architecture: 'arm64',
  });
});
