import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/digest/index.ts';
import { parseManifest } from '../../../src/oci/index.ts';
import { createRegistryClient, fallbackTagOf, type RegistryClient } from '../../../src/registry/index.ts';
import { attachSbom, SPDX_MEDIA_TYPE } from '../../../src/release/index.ts';
import { type RunningRegistry, startDistribution, startOlareg } from '../../support/registry.ts';
import { pushSmallImage } from '../../support/test-index.ts';

const { signal } = new AbortController();

describe.for([
  ['distribution', () => startDistribution({ kind: 'none' })],
  ['olareg', startOlareg],
] as const)('an SBOM at %s', ([name, start]) => {
  let registry: RunningRegistry;
  let client: RegistryClient;
  beforeAll(async () => {
    registry = await start();
    client = createRegistryClient();
  });
  afterAll(async () => {
    await client[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
  });

  test('is a referrer of its image, once however often it is attached, and can be fetched whole', async () => {
    const repository = { registry: registry.address, repository: 'sbom/orb' };
    const { digest } = await pushSmallImage(client, repository, 'v1');
    const document = { spdxVersion: 'SPDX-2.3', name: 'orb' };
    const attached = await attachSbom(repository, digest, document, { client, signal });
    await attachSbom(repository, digest, document, { client, signal });
    const referrers = await client.listReferrers(repository, digest, { artifactType: SPDX_MEDIA_TYPE, signal });
    expect(referrers).toMatchObject([{ digest: attached.digest, artifactType: SPDX_MEDIA_TYPE }]);
    // Where the registry does not keep the list, it is under the tag.
    expect((await client.listTags(repository, { signal })).includes(fallbackTagOf(digest))).toBe(
      name === 'distribution',
    );
    const manifest = parseManifest((await client.getManifest(repository, attached.digest, { signal })).bytes);
    expect(manifest).toMatchObject({ layers: [{ mediaType: SPDX_MEDIA_TYPE }] });
    expect(manifest.layers[0]?.digest).toBe(digestOf(Buffer.from(JSON.stringify(document))));
  });

  test('of an image that is not there is REGISTRY_NOT_FOUND, and nothing is left', async () => {
    const repository = { registry: registry.address, repository: 'sbom/none' };
    await expect(attachSbom(repository, digestOf(Buffer.from('none')), {}, { client, signal })).rejects.toMatchObject({
      code: 'REGISTRY_NOT_FOUND',
    });
  });
});
