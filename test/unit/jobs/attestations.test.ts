import { expect, test } from 'vitest';
import { digestOf, hexOf } from '../../../src/digest/index.ts';
import { type Attestation, planAttestation, type SmallBlob } from '../../../src/jobs/attestations.ts';
import { canonicalJson, MEDIA_TYPES } from '../../../src/oci/index.ts';

const before = digestOf('manifest before packing');
const published = { mediaType: MEDIA_TYPES.ociManifest, digest: digestOf('manifest after packing'), size: 22 };

const blobOf = (mediaType: string, value: unknown): SmallBlob => {
  const bytes = canonicalJson(value);
  return { bytes, descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length } };
};
const statement = {
  _type: 'https://in-toto.io/Statement/v1',
  subject: [{ name: 'pkg:docker/a@b', digest: { sha256: hexOf(before) } }],
  predicateType: 'https://slsa.dev/provenance/v1',
  predicate: { big: 12345678901234567890n.toString() },
};
const STATEMENT = 'application/vnd.in-toto+json';

function attestationOf(layer: SmallBlob): Attestation {
  const rootfs = { type: 'layers', diff_ids: [layer.descriptor.digest] };
  const config = blobOf(MEDIA_TYPES.ociConfig, { os: 'unknown', architecture: 'unknown', rootfs });
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: config.descriptor,
    layers: [{ ...layer.descriptor, annotations: { 'in-toto.io/predicate-type': statement.predicateType } }],
    subject: { mediaType: MEDIA_TYPES.ociManifest, digest: before, size: 5 },
  } as const;
  const manifestBytes = canonicalJson(manifest);
  const annotations = {
    'vnd.docker.reference.type': 'attestation-manifest',
    'vnd.docker.reference.digest': before,
  };
  const descriptor = {
    mediaType: MEDIA_TYPES.ociManifest,
    digest: digestOf(manifestBytes),
    size: manifestBytes.length,
    platform: { os: 'unknown', architecture: 'unknown' },
    annotations,
  };
  return { descriptor, subject: before, manifest, manifestBytes, config, statements: [layer] };
}

test('every place that names the manifest before packing names the published one, and digests agree', () => {
  const attestation = attestationOf(blobOf(STATEMENT, statement));
  const planned = planAttestation(attestation, published);
  const [config, layer] = planned.blobs;
  const textOf = (bytes?: Uint8Array) => Buffer.from(bytes ?? []).toString('utf8');
  expect(JSON.parse(textOf(layer?.bytes))).toEqual({
    ...statement,
    subject: [{ name: 'pkg:docker/a@b', digest: { sha256: hexOf(published.digest) } }],
  });
  expect(JSON.parse(textOf(config?.bytes))).toMatchObject({ rootfs: { diff_ids: [layer?.descriptor.digest] } });
  const manifest: unknown = JSON.parse(textOf(planned.manifest.bytes));
  expect(manifest).toMatchObject({
    config: { digest: config?.descriptor.digest },
    layers: [{ digest: layer?.descriptor.digest }],
    subject: { digest: published.digest, size: published.size },
  });
  expect(planned).toMatchObject({ subject: published.digest, predicateTypes: [statement.predicateType] });
  expect(planned.manifest.descriptor).toMatchObject({
    digest: digestOf(planned.manifest.bytes),
    platform: { os: 'unknown' },
    annotations: {
      'vnd.docker.reference.type': 'attestation-manifest',
      'vnd.docker.reference.digest': published.digest,
    },
  });
  for (const { bytes, descriptor } of planned.blobs)
    expect(descriptor).toMatchObject({ digest: digestOf(bytes), size: bytes.length });
});

const envelope = { payloadType: STATEMENT, payload: 'e30=', signatures: [{ sig: 'x' }] };

test.for<[what: string, layer: SmallBlob]>([
  ['an envelope with signatures', blobOf('application/vnd.dsse.envelope.v1+json', envelope)],
  ['an envelope that calls itself a statement', blobOf(STATEMENT, envelope)],
  ['something that is no JSON', { ...blobOf(STATEMENT, {}), bytes: Buffer.from('{') }],
])('%s is refused', ([, layer]) => {
  expect(() => planAttestation(attestationOf(layer), published)).toThrow(
    expect.objectContaining({ code: 'ATTESTATION_SIGNED' }),
  );
});

test('where the manifest is the published one, nothing changes: signatures stay good', () => {
  const attestation = attestationOf(blobOf('application/vnd.dsse.envelope.v1+json', envelope));
  const planned = planAttestation(attestation, { ...published, digest: before });
  expect(planned.manifest).toEqual({ descriptor: attestation.descriptor, bytes: attestation.manifestBytes });
  expect(planned.blobs).toEqual([attestation.config, ...attestation.statements]);
});
