import { expect, test } from 'vitest';
import { WorkerError } from '../../../src/errors/index.ts';
import type { WorkerStatus } from '../../../src/queue/index.ts';
import { serveMetrics, WorkerMetrics } from '../../../src/worker/index.ts';
import { indexSecondsSaved } from '../../../src/worker/metrics/index-seconds.ts';

const status: WorkerStatus = {
  workerId: 'w',
  version: '1',
  slots: 2,
  freeSlots: 1,
  draining: false,
  reason: undefined,
  platforms: [],
  diskFreeBytes: 7,
  diskBytes: 9,
  baseLayers: [],
  seenAtMs: 0,
};

test('metrics, health and readiness are served', async () => {
  const metrics = new WorkerMetrics();
  let reason = undefined as string | undefined;
  const current = () => ({ ...status, reason });
  const depth = { queued: 3, delayed: 0, running: 1, dead: 0, oldestAgeMs: 1500, queuedByWorkspace: new Map() };
  metrics.watch({ status: current, depth: () => Promise.resolve(depth) });
  metrics.observer.onEvent({ type: 'pushed', digest: 'sha256:a', outcome: 'sent', sizeBytes: 11 });
  metrics.observer.onFailure(new WorkerError('BUILD_STEP_FAILED', 'x'));
  metrics.attemptEnded('failed', 2);
  await using server = await serveMetrics('127.0.0.1:0', { metrics, status: current });
  const get = async (path: string) => {
    const response = await fetch(`http://${server.address}${path}`);
    return [response.status, await response.text()] as const;
  };
  const [, text] = await get('/metrics');
  expect(text.split('\n')).toEqual(
    expect.arrayContaining([
      'clipyard_bytes_total{what="sent"} 11',
      'clipyard_failures_total{class="user",code="BUILD_STEP_FAILED"} 1',
      'clipyard_build_seconds_count{end="failed"} 1',
      'clipyard_slots_free 1',
      'clipyard_ready 1',
      'clipyard_disk_free_bytes 7',
      'clipyard_queue_jobs{state="queued"} 3',
      'clipyard_queue_oldest_seconds 1.5',
      'clipyard_queue_up 1',
    ]),
  );
  expect(await get('/healthz')).toEqual([200, 'ok\n']);
  expect(await get('/readyz')).toEqual([200, 'ready\n']);
  reason = 'disk: full';
  expect(await get('/readyz')).toEqual([503, 'disk: full\n']);
  expect((await get('/else'))[0]).toBe(404);
});

test('seconds saved are those of reading new layers back as fast as they were sent', () => {
  const layer = (packed: string, sizeBytes: number) => ({ packed, sizeBytes }) as never;
  const phases = [{ name: 'pushing', startMs: 0, durationMs: 4000, bytes: 100 }] as const;
  const layers = [layer('new', 50), layer('new', 25), layer('kept', 1000), layer('cached', 1000)];
  expect(indexSecondsSaved({ bytesPushed: 100, layers, phases })).toBe(3);
  expect(indexSecondsSaved({ bytesPushed: 0, layers, phases })).toBe(0);
  expect(indexSecondsSaved({ bytesPushed: 100, layers, phases: [] })).toBe(0);
});

test('an address that is none is refused', async () => {
  const metrics = new WorkerMetrics();
  await expect(serveMetrics('nowhere', { metrics, status: () => status })).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
  });
});
