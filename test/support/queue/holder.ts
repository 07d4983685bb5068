// A worker of its own process: takes a job, journals a step, tells numbered lines until it is killed, and says on its
// output which of them the queue has kept. Arguments: address of the queue, lease in ms.
import { openQueue } from '../../../src/queue/index.ts';
import { worker } from './submissions.ts';

const [address = '', leaseMs = ''] = process.argv.slice(2);
const { signal } = new AbortController();
const queue = await openQueue(address, {
  ...{ leaseMs: Number(leaseMs), maxAttempts: 3, weights: new Map(), maxRunningPerWorkspace: 10, warmWaitMs: 0 },
  now: Date.now,
});
const lease = await queue.take(worker('killed'), { signal });
if (lease === undefined) throw new Error('there was nothing to take');
await lease.checkpoint('built', { digest: 'sha256:1' });
for (let line = 0; ; line += 1) {
  await lease.tell([{ timeMs: Date.now(), phase: 'building', bytes: 0, kind: 'log', what: { line } }]);
  process.stdout.write(`${line}\n`);
}
