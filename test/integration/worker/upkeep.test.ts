import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { connectBuildkit } from '../../../src/buildkit/index.ts';
import { landingDirectory, listLandings } from '../../../src/jobs/index.ts';
import { openStore } from '../../../src/objects/index.ts';
import { OciLayout } from '../../../src/oci/index.ts';
import { openSqliteQueue } from '../../../src/queue/index.ts';
import { createRegistryClient } from '../../../src/registry/index.ts';
import { silentLog } from '../../../src/telemetry/index.ts';
import { keepUp, WorkerLoop } from '../../../src/worker/index.ts';
import { startBuildkit } from '../../support/buildkitd.ts';
import { Clock, queueSettings, submission } from '../../support/queue/submissions.ts';
import { temporaryStateDirectory } from '../../support/temporary-directory.ts';

const signal = AbortSignal.timeout(60_000);
const MIB = 1024 * 1024;

test('a disk that runs full stops intake, and upkeep prunes BuildKit and landing layouts until there is room', async () => {
  await using scratch = await temporaryStateDirectory('upkeep');
  await using daemon = await startBuildkit();
  const { CLIPYARD_BUILDKIT: address = '' } = daemon.env;
  await using buildkit = await connectBuildkit({ address, log: silentLog(), signal });
  const context = join(scratch.path, 'context');
  await mkdir(context);
  await copyFile('/bin/busybox', join(context, 'busybox'));
  await writeFile(join(context, 'Dockerfile'), 'FROM scratch\nCOPY busybox noise /\n');
  await writeFile(join(context, 'noise'), randomBytes(4 * MIB));
  const landing = await OciLayout.open(join(landingDirectory(scratch.path), 'w-a'), { create: true, signal });
  await buildkit
    .build({ contextDir: context }, { landing, signal })
    .then(({ descriptor }) => landing.setTag('latest', descriptor, { signal }));
  expect(await listLandings(scratch.path)).toMatchObject([{ name: 'w-a' }]);

  await using store = openStore(`file://${scratch.path}/store`, {});
  await using client = createRegistryClient();
  const clock = new Clock();
  await using queue = openSqliteQueue(join(scratch.path, 'queue.db'), queueSettings(clock));
  const [keepFree, enough] = [100, 200];
  let freeBytes = enough;
  let prunedBytes = 0;
  let upkeeps = 0;
  const taken: string[] = [];
  const loop = new WorkerLoop({
    ...{ queue, workerId: 'w', version: '0', slots: 1, drainBudgetMs: 1000, log: silentLog(), now: clock.now },
    run: async (lease) => {
      taken.push(lease.job.imageId);
      await lease.end({ state: 'done', result: null });
      return 'done';
    },
    disk: () => Promise.resolve({ freeBytes, bytes: 1000 }),
    watermarkBytes: keepFree,
    platforms: (options) => buildkit.platforms(options),
    baseLayers: () => [],
    heartbeatMs: 50,
    upkeepMs: 3_600_000,
    upkeep: async (options) => {
      upkeeps += 1;
      const full = freeBytes < keepFree;
      const kept = full ? 0 : 1e12;
      await keepUp(
        {
          ...{ stateDir: scratch.path, queue, buildkit, client, store, log: silentLog(), now: clock.now },
          ...{ landingBytes: kept, buildkitKeepBytes: kept, buildkitKeepMs: 0 },
          ...{ keepUploadsMs: 1e12, keepBuildsMs: 1e12 },
          onPruned: (bytes) => {
            prunedBytes += bytes;
          },
        },
        options,
      );
      if (full) freeBytes = enough;
    },
  });
  await loop.start();
  const until = async (isSo: () => boolean) => {
    while (!isSo()) await sleep(20, undefined, { signal });
  };
  await until(() => upkeeps === 1);
  expect([prunedBytes, (await listLandings(scratch.path)).length]).toEqual([0, 1]);
  await queue.submit(submission('a', { imageId: 'while there was room' }), { signal });
  await until(() => taken.length === 1);

  freeBytes = 50;
  await until(() => loop.status().reason !== undefined || upkeeps > 1);
  await queue.submit(submission('a', { imageId: 'while there was none' }), { signal });
  await until(() => taken.length === 2);
  // Not when its time came, an hour later, but because the disk was full.
  expect(upkeeps).toBe(2);
  expect(prunedBytes).toBeGreaterThan(4 * MIB);
  expect(await listLandings(scratch.path)).toEqual([]);
  expect(await loop.drain(undefined, { signal })).toEqual({ finished: 0, handedBack: 0 });
});
