import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { digestOf } from '../../../src/digest/index.ts';
import { type BuildResult, storeKeys } from '../../../src/jobs/index.ts';
import { openStore } from '../../../src/objects/index.ts';
import type { StoredEvent } from '../../../src/queue/index.ts';
import { formatReference } from '../../../src/registry/index.ts';
import { recordPublished, type Submitted } from '../../../src/worker/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { openIntake, pushFileImage, request, signal } from './harness.ts';

test('a published build is an answer while tag, pointer and archive are what it made', async () => {
  await using directory = await temporaryDirectory('published');
  await using intake = await openIntake(directory.path);
  await using store = openStore(`file://${join(directory.path, 'store')}`, {});
  const { builds, client, target, workspaceId } = intake;
  let clockMs = Date.now();
  const spec = { context: { type: 'inline', dockerfile: `FROM scratch\nENV A=${randomUUID()}\n` } };
  const submit = (more: object = {}, workspace = workspaceId): Promise<Submitted> =>
    builds.submit(workspace, request(spec, more), { signal });

  const first = await submit({ idempotencyKey: 'used' });
  expect(first.how).toBe('queued');
  await using lease = await intake.take();
  const tag = `${workspaceId}-app`;
  const { manifest } = await pushFileImage(client, target, tag, 'published');
  const archive = Buffer.from(`archive ${randomUUID()}`);
  const digest = digestOf(archive);
  const archiveKey = storeKeys.archive(digest);
  const putArchive = () => store.put(archiveKey, archive, { signal });
  const storageRef = formatReference({ ...target, tag });
  const pointer = (indexDigest: string) =>
    store.put(
      storeKeys.pointer(workspaceId, 'app'),
      JSON.stringify({
        version: 1,
        generation: 1,
        indexDigest,
        archives: {
          'linux/amd64': { digest, sizeBytes: archive.length, storageRef, manifestDigest: manifest },
        },
      }),
      { signal },
    );
  await putArchive();
  await pointer(manifest);
  const result = {
    storageRef,
    manifestDigest: manifest,
    archives: [{ digest, sizeBytes: archive.length }],
  } as unknown as BuildResult;
  await recordPublished(lease.job, result, { store, signal, now: () => clockMs });
  await lease.end({ state: 'done', result: { storageRef } });

  expect(await submit({ idempotencyKey: 'used' })).toMatchObject({
    how: 'repeated',
    build: { buildId: first.build.buildId },
  });
  expect((await submit({ idempotencyKey: 'fresh' })).how).toBe('published');
  const answered = await submit();
  expect(answered).toMatchObject({ how: 'published', build: { state: 'done', result: { storageRef } } });
  expect(await builds.get(workspaceId, answered.build.buildId, { signal })).toEqual(answered.build);
  const events: StoredEvent[] = [];
  for await (const event of builds.watch(workspaceId, answered.build.buildId, { after: 0, signal })) events.push(event);
  expect(events).toMatchObject([{ cursor: 1, phase: 'done', what: { result: { storageRef } } }]);
  await expect(builds.get('other', answered.build.buildId, { signal })).rejects.toMatchObject({
    code: 'BUILD_NOT_FOUND',
  });

  const cancelQueued = async ({ build, how }: Submitted) => {
    if (how !== 'published') await builds.cancel(build.workspaceId, build.buildId, 'test', { signal });
    return how;
  };
  expect(await cancelQueued(await submit({ maxAgeMs: 0 }))).toBe('queued');
  // Who wants every step to run is not answered with steps that ran before, unless an age is said.
  const fresh = { ...spec, noCache: true };
  const submitOf = (other: typeof spec, more: object = {}) =>
    builds.submit(workspaceId, request(other, more), { signal });
  const remember = async (other: typeof spec) => {
    expect((await submitOf(other)).how).toBe('queued');
    await using taken = await intake.take();
    await recordPublished(taken.job, result, { store, signal, now: () => clockMs });
    await taken.end({ state: 'done', result: { storageRef } });
  };
  await remember(fresh);
  expect(await cancelQueued(await submitOf(fresh))).toBe('queued');
  expect(await cancelQueued(await submitOf(fresh, { maxAgeMs: 3_600_000 }))).toBe('published');
  // A second name that another build took over is put back by building again.
  const alsoAs = `${workspaceId}/second`;
  const named = { ...spec, alsoAs };
  await remember(named);
  expect(await cancelQueued(await submitOf(named))).toBe('queued');
  await store.put(alsoAs, archive, { signal });
  expect(await cancelQueued(await submitOf(named))).toBe('published');
  await store.put(alsoAs, Buffer.from(archive).reverse(), { signal });
  expect(await cancelQueued(await submitOf(named))).toBe('queued');
  expect(await cancelQueued(await submit({}, `${workspaceId}b`))).toBe('queued');
  expect(await cancelQueued(await submit({ maxAgeMs: 3_600_000 }))).toBe('published');
  clockMs -= 7_200_000;
  await recordPublished(lease.job, result, { store, signal, now: () => clockMs });
  expect(await cancelQueued(await submit({ maxAgeMs: 3_600_000 }))).toBe('queued');

  await rm(join(directory.path, 'store', archiveKey));
  expect(await cancelQueued(await submit())).toBe('queued');
  await putArchive();
  expect(await cancelQueued(await submit())).toBe('published');
  await pointer(digestOf('another'));
  expect(await cancelQueued(await submit())).toBe('queued');
  await pointer(manifest);
  await pushFileImage(client, target, tag, 'somebody else');
  expect(await cancelQueued(await submit())).toBe('queued');
});
