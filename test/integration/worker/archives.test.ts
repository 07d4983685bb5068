import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DEFAULT_LIMITS } from '../../../src/config/index.ts';
import { nativeToolPaths } from '../../../src/native/index.ts';
import { openStore } from '../../../src/objects/index.ts';
import { formatReference } from '../../../src/registry/index.ts';
import { silentLog } from '../../../src/telemetry/index.ts';
import { createArchives, DEFAULT_POLICY } from '../../../src/worker/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { openIntake, pushFileImage, signal } from './harness.ts';

test('an image of a registry gets an archive, found by id and by manifest, by its workspace alone', async () => {
  await using directory = await temporaryDirectory('archives');
  await using intake = await openIntake(directory.path);
  await using store = openStore(`file://${join(directory.path, 'store')}`, {});
  const { client, target, workspaceId } = intake;
  const archives = createArchives({
    client,
    store,
    target,
    policy: DEFAULT_POLICY,
    tools: nativeToolPaths(process.env, join(import.meta.dirname, '../../..')),
    stateDir: join(directory.path, 'state'),
    requireRoom: () => Promise.resolve(),
    scratchDir: join(directory.path, 'scratch'),
    packCache: { maxBytes: 1 << 30, shared: undefined },
    limits: DEFAULT_LIMITS,
    log: silentLog(),
    report: () => undefined,
    jobs: 1,
    now: () => Date.now(),
  });
  const elsewhere = { ...target, repository: `${target.repository}/elsewhere` };
  const { manifest } = await pushFileImage(client, elsewhere, 'v', 'content');
  const reference = formatReference({ ...elsewhere, tag: 'v' });
  const indexed = await archives.indexImage(workspaceId, { reference, imageId: 'app' }, { signal });
  expect(indexed.archive).toMatchObject({ platform: 'linux/amd64', manifestDigest: manifest, url: undefined });
  expect((await store.head(`archives/${indexed.archive.digest.slice(7)}.clip`, { signal }))?.sizeBytes).toBe(
    indexed.archive.sizeBytes,
  );
  const byId = await archives.resolve(workspaceId, { imageId: 'app' }, { signal });
  expect(byId).toEqual({ archives: [indexed.archive], generation: 1 });
  const byManifest = await archives.resolve(workspaceId, { manifestDigest: manifest }, { signal });
  expect(byManifest).toEqual({ archives: [indexed.archive], generation: 0 });
  await expect(
    archives.resolve(workspaceId, { imageId: 'app' }, { signal, platform: 'linux/arm64' }),
  ).rejects.toMatchObject({ code: 'PLATFORM_NOT_FOUND' });
  for (const image of [{ imageId: 'app' }, { manifestDigest: manifest }])
    await expect(archives.resolve('other', image, { signal })).rejects.toMatchObject({
      code: 'STORE_OBJECT_NOT_FOUND',
    });

  await pushFileImage(client, target, 'other-app', 'secret');
  const foreign = formatReference({ ...target, tag: 'other-app' });
  await expect(archives.indexImage(workspaceId, { reference: foreign }, { signal })).rejects.toMatchObject({
    code: 'SOURCE_DENIED',
  });
});
