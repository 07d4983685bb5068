import { expect, test } from 'vitest';
import { WorkerError } from '../../../src/errors/index.ts';
import { Bell } from '../../../src/queue/bell.ts';
import { type Claim, type ClaimStore, HeldLease } from '../../../src/queue/held-lease.ts';
import type { Job } from '../../../src/queue/index.ts';
import { Clock } from '../../support/queue/submissions.ts';

const LEASE_MS = 90;

test('who gave a lease up because its store was away ends nothing when the store is back', async () => {
  const clock = new Clock();
  const called: string[] = [];
  let isAway = true;
  const note = (name: string) => () => {
    called.push(name);
    return Promise.resolve();
  };
  const look = (): Promise<Claim> =>
    isAway ? Promise.reject(new WorkerError('QUEUE_UNAVAILABLE', 'away')) : Promise.resolve('held');
  const claim: ClaimStore = {
    ...{ look, renew: look, tell: note('tell'), checkpoint: note('checkpoint'), end: note('end') },
    ...{ endCanceled: note('endCanceled'), retry: note('retry'), handBack: note('handBack') },
  };
  const job = { jobId: 'j' } as Job;
  const attention = { [Symbol.dispose]: () => undefined };
  await using lease = new HeldLease(job, claim, new Bell(), LEASE_MS, clock.now, attention);
  const lost = new Promise((resolve) => {
    lease.signal.addEventListener('abort', resolve);
  });
  clock.advance(LEASE_MS + 1);
  await lost;
  expect(lease.signal.reason).toMatchObject({ code: 'LEASE_LOST' });
  isAway = false;
  const failure = { code: 'X', message: '', phase: 'building', retryable: true, details: {} } as const;
  for (const call of [
    lease.endCanceled(),
    lease.handBack(),
    lease.retry(failure, 0),
    lease.end({ state: 'failed', failure }),
    lease.checkpoint('step', null),
    lease.tell([{ timeMs: 0, phase: 'building', bytes: 0, kind: 'detail', what: null }]),
  ])
    await expect(call).rejects.toMatchObject({ code: 'LEASE_LOST' });
  expect(called).toEqual([]);
});
