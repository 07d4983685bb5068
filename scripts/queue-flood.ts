// A flood of queued builds: `node scripts/queue-flood.ts ADDRESS [BUILDS]` prints p50 and p99 of submit and of watch (told to
// seen, by another connection) and the memory of this process. ADDRESS: sqlite:FILE or redis://host/db?prefix=flood.
import { openQueue } from '../src/queue/index.ts';

const [address = '', count = '10000'] = process.argv.slice(2);
const builds = Number(count);
const { signal } = new AbortController();
const settings = {
  ...{ leaseMs: 30_000, maxAttempts: 3, weights: new Map(), maxRunningPerWorkspace: 100, warmWaitMs: 0 },
  now: Date.now,
};
const percentiles = (all: number[]) => {
  const sorted = all.toSorted((a, b) => a - b);
  const at = (part: number) => Number((sorted[Math.floor((sorted.length - 1) * part)] ?? 0).toFixed(2));
  return { p50Ms: at(0.5), p99Ms: at(0.99) };
};
await using queue = await openQueue(address, settings);
await using other = await openQueue(address, settings);
const submitMs: number[] = [];
const submission = (key: number) => ({
  ...{ workspaceId: `w${key % 5}`, imageId: 'app', spec: { context: 'x'.repeat(500) }, key: String(key), priority: 5 },
  ...{ idempotencyKey: `i${key}`, deadlineMs: undefined, platforms: ['linux/amd64'], baseLayers: [] },
});
for (let key = 0; key < builds; key += 1) {
  const startedMs = performance.now();
  await queue.submit(submission(key), { signal });
  submitMs.push(performance.now() - startedMs);
}
const worker = {
  ...{ workerId: 'w', version: '0', slots: 1, freeSlots: 1, draining: false, reason: undefined, seenAtMs: 0 },
  ...{ platforms: ['linux/amd64'], diskFreeBytes: 1, diskBytes: 1, baseLayers: [] },
};
await using lease = await queue.take(worker, { signal });
if (lease === undefined) throw new Error('nothing to take');
const [record] = (await queue.list(lease.job.workspaceId, { states: ['preparing'], limit: 1 }, { signal })).records;
const watchMs: number[] = [];
let told = performance.now();
const event = { timeMs: 0, phase: 'building', bytes: 0, kind: 'log', what: {} } as const;
for await (const { cursor } of other.watch(lease.job.workspaceId, record?.buildId ?? '', { after: 0, signal })) {
  if (cursor > 1000) break;
  if (cursor > 2) watchMs.push(performance.now() - told);
  told = performance.now();
  void lease.tell([event]);
}
const megabytes = Math.round(process.memoryUsage().rss / 1e6);
console.log(JSON.stringify({ address, builds, submit: percentiles(submitMs), watch: percentiles(watchMs), megabytes }));
