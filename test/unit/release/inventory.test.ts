import { describe, expect, test } from 'vitest';
import { hexOf } from '../../../src/digest/index.ts';
import { readInventory, releasesOf, type TagKind } from '../../../src/release/index.ts';
import { readTag, variantsAmong } from '../../../src/release/inventory/index.ts';
import { MemoryRepository, unavailable } from '../../support/release/memory-repository.ts';

const { signal } = new AbortController();
const inventoryOf = async (repository: MemoryRepository) => await readInventory(repository.reader(), { signal });

describe('what a tag is', () => {
  const variants = new Set(['python3.13', 'slim', 'slim-python3.13']);

  test.for<[tag: string, kind: TagKind, version?: string]>([
    ['1.2.3', 'version', '1.2.3'],
    ['v1.2.3', 'version', '1.2.3'],
    ['1.2.3-rc.1', 'prerelease', '1.2.3-rc.1'],
    ['1.2.3-b1', 'prerelease', '1.2.3-b1'],
    ['1.2.3-rc.1-python3.13', 'precision', '1.2.3-rc.1'],
    ['latest', 'moving'],
    ['1', 'moving'],
    ['v1.2', 'moving'],
    ['1.2-python3.13', 'moving'],
    ['python3.13', 'moving'],
    ['main', 'branch'],
    ['python-3', 'branch'],
    ['pr-12', 'pull-request'],
    ['buildcache', 'cache'],
    ['main-cache', 'cache'],
    ['sha-860c190', 'commit'],
    ['860c1904a1ce19322e91ac35af1ab07466440c37', 'commit'],
    ['01.2.3', 'branch'],
  ])('%s is a %s', ([tag, kind, version]) => {
    const reading = readTag(tag, { variants });
    expect([reading.kind, reading.version?.text]).toEqual([kind, version]);
  });

  test.for([
    ['0.2.3-python3.13', 'python3.13'],
    ['0.2.3-slim-python3.13', 'slim-python3.13'],
  ])('D4: %s is version 0.2.3 of the variant %s, no prerelease', ([tag = '', variant]) => {
    expect(readTag(tag, { variants })).toEqual({
      kind: 'precision',
      version: { text: '0.2.3', released: true },
      variant,
    });
  });

  test('D4: variants are known from a label, or from a tag of their own', () => {
    expect(readTag('0.2.3-python3.9', { variants: new Set(), versionText: '0.2.3' }).kind).toBe('precision');
    expect(readTag('0.2.3-rc.1', { variants: new Set(), versionText: '0.2.3' }).kind).toBe('prerelease');
    expect([...variantsAmong(['1.0.0-python3.9', 'python3.9', '1.0.0-rc.1', 'rc.1', '1.0.0-x'], ['slim'])]).toEqual([
      'slim',
      'python3.9',
    ]);
  });

  test.for(['2029.1.9', '2029-01-09', '20290109', '20290109-1030'])('D5: %s is a date and no version', (tag) => {
    expect(readTag(tag, { variants })).toEqual({ kind: 'date' });
  });

  test('D6: the label tells a build from a prerelease, and two builds are one version', () => {
    for (const build of ['b1', 'b2'])
      expect(readTag(`1.2.3-${build}`, { variants, versionText: `1.2.3+${build}` })).toEqual({
        kind: 'version',
        version: { text: '1.2.3', released: true },
      });
  });

  test('D43: a digest tag is of another manifest, whatever stands behind it', () => {
    const hex = 'ab'.repeat(32);
    for (const suffix of ['', '.sig', '.att', '.sbom'])
      expect(readTag(`sha256-${hex}${suffix}`, { variants })).toEqual({ kind: 'digest', subject: `sha256:${hex}` });
    expect(readTag(`sha256-${hex}x`, { variants }).kind).toBe('branch');
  });
});

describe('an inventory', () => {
  test('D20: holds children, attestations, referrers of children and of referrers, and digest tags', async () => {
    const repository = new MemoryRepository();
    const amd64 = repository.image({ name: 'amd64' });
    const arm64 = repository.image({ name: 'arm64', platform: 'linux/arm64' });
    const attestation = repository.attestation('provenance');
    const index = repository.index([amd64, arm64, attestation]);
    repository.tags.set('1.0.0', index);
    const sbom = repository.referrer(amd64, 'sbom');
    const signature = repository.referrer(sbom, 'signature of the sbom');
    const byTag = repository.referrer(arm64, 'known by a tag only');
    repository.hasReferrersApi = true;
    const fallback = repository.fallbackTag(arm64, [byTag]);
    const inventory = await inventoryOf(repository);
    expect(inventory.problems).toEqual([]);
    expect(new Set(inventory.manifests.keys())).toEqual(
      new Set([index, amd64, arm64, attestation, sbom, signature, byTag, fallback]),
    );
    expect(inventory.tags.get(`sha256-${hexOf(arm64)}`)).toMatchObject({ kind: 'digest', subject: arm64 });
    expect(inventory.manifests.get(index)?.children.map(({ platform }) => platform)).toEqual([
      'linux/amd64',
      'linux/arm64',
      undefined,
    ]);
  });

  test('D33: the time is that of the first platform, never of an attestation, and no constant of reproducible builds', async () => {
    const repository = new MemoryRepository();
    const attestation = repository.attestation('provenance');
    const image = repository.image({ name: 'a', created: '2026-01-02T03:04:05Z' });
    const tags = {
      '1.0.0': repository.index([attestation, image]),
      '1.1.0': repository.index([image, attestation], { 'org.opencontainers.image.created': '2026-02-02T00:00:00Z' }),
      '1.2.0': repository.image({ name: 'epoch', created: '1970-01-01T00:00:00Z' }),
      '1.3.0': repository.image({ name: 'none' }),
      '1.4.0': repository.image({ name: 'no time', created: 'yesterday' }),
    };
    for (const [tag, digest] of Object.entries(tags)) repository.tags.set(tag, digest);
    const { manifests, problems } = await inventoryOf(repository);
    expect(problems).toEqual([]);
    expect(Object.values(tags).map((digest) => manifests.get(digest)?.createdMs)).toEqual([
      Date.UTC(2026, 0, 2, 3, 4, 5),
      Date.UTC(2026, 1, 2),
      undefined,
      undefined,
      undefined,
    ]);
  });

  test('D27: what cannot be read is a problem, and nothing is silently smaller', async () => {
    const repository = new MemoryRepository();
    const image = repository.image({ name: 'a', created: '2026-01-02T03:04:05Z' });
    const index = repository.index([image]);
    repository.tags.set('1.0.0', index);
    repository.referrer(image, 'sbom');
    const requests: string[] = [];
    repository.onRequest = (request) => requests.push(request);
    await inventoryOf(repository);
    for (const failing of requests.filter((request) => request !== 'GET tags')) {
      repository.onRequest = (request) => {
        if (request === failing) throw unavailable(request);
      };
      const { problems } = await inventoryOf(repository);
      expect(problems, failing).toMatchObject([{ code: 'REGISTRY_THROTTLED' }]);
    }
    repository.onRequest = (request) => {
      throw unavailable(request);
    };
    await expect(inventoryOf(repository)).rejects.toMatchObject({ code: 'REGISTRY_THROTTLED' });
  });

  test('D27: a listed tag without a manifest is a problem; an absent child is only absent', async () => {
    const repository = new MemoryRepository();
    const image = repository.image({ name: 'a' });
    const gone = repository.image({ name: 'b' });
    repository.tags.set('1.0.0', repository.index([image, gone]));
    repository.manifests.delete(gone);
    expect(await inventoryOf(repository)).toMatchObject({ problems: [], absent: new Set([gone]) });
    const reader = repository.reader();
    const dangling = { ...reader, listTags: () => Promise.resolve(['1.0.0', '1.1.0']) };
    const { problems } = await readInventory(dangling, { signal });
    expect(problems).toMatchObject([{ part: 'tag', name: '1.1.0', code: 'REGISTRY_NOT_FOUND' }]);
  });

  test('C4: releases are versions with all variants, the highest first', async () => {
    const repository = new MemoryRepository();
    for (const [tag, created] of [
      ['1.10.0', '2026-01-03T00:00:00Z'],
      ['1.9.0', '2026-01-02T00:00:00Z'],
      ['1.9.0-python3.9', '2026-01-04T00:00:00Z'],
      ['python3.9', '2026-01-04T00:00:00Z'],
      ['latest', '2026-01-04T00:00:00Z'],
    ] as const)
      repository.tags.set(tag, repository.image({ name: tag, created }));
    const releases = releasesOf(await inventoryOf(repository));
    expect(releases.map(({ createdMs, tags, version }) => [version.text, tags.length, createdMs])).toEqual([
      ['1.10.0', 1, Date.UTC(2026, 0, 3)],
      ['1.9.0', 2, Date.UTC(2026, 0, 4)],
    ]);
  });
});
