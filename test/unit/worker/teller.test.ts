import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { WorkerError } from '../../../src/errors/index.ts';
import type { Lease, NewEvent } from '../../../src/queue/index.ts';
import { Teller } from '../../../src/worker/run/teller.ts';

const line = (data: string, stepId = '1'): NewEvent => ({
  timeMs: 0,
  phase: 'building',
  bytes: data.length,
  kind: 'log',
  what: { stepId, stream: 1, data },
});
const detail = (name: string): NewEvent => ({
  timeMs: 0,
  phase: 'building',
  bytes: 0,
  kind: 'detail',
  what: { event: name },
});

/** A queue that keeps what it is told, and fails the first times. */
function lease({ failures = 0, code = 'QUEUE_UNAVAILABLE' as const } = {}) {
  const told: NewEvent[] = [];
  let left = failures;
  const tell = (events: readonly NewEvent[]) => {
    if (left-- > 0) return Promise.reject(new WorkerError(code, 'away'));
    told.push(...events);
    return Promise.resolve();
  };
  return { told, lease: { tell, signal: new AbortController().signal } as unknown as Lease };
}

function teller(to: Lease, bounds: { maxWaitingBytes?: number; maxLogBytes?: number } = {}) {
  const lost: unknown[] = [];
  const onLost = (reason: unknown) => lost.push(reason);
  const all = { everyMs: 5, maxWaitingBytes: 1000, maxLogBytes: 1000, now: () => 0, onLost, ...bounds };
  return { teller: new Teller(to, all), lost };
}

test('events go out in order, lines of one step together', async () => {
  const { told, lease: to } = lease();
  const { teller: teller1 } = teller(to);
  for (const event of [detail('a'), line('1\n'), line('2\n'), line('3\n', '2'), detail('b')]) teller1.push(event);
  await teller1.flush();
  expect(told.map(({ what }) => what)).toEqual([
    { event: 'a' },
    { stepId: '1', stream: 1, data: '1\n2\n' },
    { stepId: '2', stream: 1, data: '3\n' },
    { event: 'b' },
  ]);
});

test('events go out by themselves after a while', async () => {
  const { told, lease: to } = lease();
  teller(to).teller.push(detail('a'));
  while (told.length === 0) await sleep(5);
  expect(told).toEqual([detail('a')]);
});

test('a queue that was away gets every event once, in order', async () => {
  const { told, lease: to } = lease({ failures: 1 });
  const { teller: teller1 } = teller(to);
  teller1.push(detail('a'));
  const flushed = teller1.flush();
  teller1.push(detail('b'));
  await flushed;
  expect(told).toEqual([detail('a'), detail('b')]);
});

test('output that a slow queue cannot take is left out, and that is said', async () => {
  const { told, lease: to } = lease();
  const { teller: teller1 } = teller(to, { maxWaitingBytes: 4 });
  for (const text of ['1\n', '2\n', '3\n', '4\n']) teller1.push(line(text));
  await teller1.flush();
  teller1.push(line('5\n'));
  await teller1.flush();
  expect(told.map(({ what }) => what)).toEqual([
    { stepId: '1', stream: 1, data: '1\n2\n' },
    { event: 'log-left-out', lines: 2 },
    { stepId: '1', stream: 1, data: '5\n' },
  ]);
});

test('the live tail ends at its limit, with a word', async () => {
  const { told, lease: to } = lease();
  const { teller: teller1 } = teller(to, { maxLogBytes: 4 });
  for (const text of ['1\n', '2\n', '3\n', '4\n']) teller1.push(line(text));
  await teller1.flush();
  expect(told.map(({ what }) => what)).toEqual([
    { stepId: '1', stream: 1, data: '1\n2\n' },
    { event: 'log-cut', maxLogBytes: 4 },
  ]);
});

test('a job that is lost is told of once', async () => {
  const { lease: to } = lease({ failures: 9, code: 'LEASE_LOST' as never });
  const { lost, teller: teller1 } = teller(to);
  teller1.push(detail('a'));
  await expect(teller1.flush()).rejects.toMatchObject({ code: 'LEASE_LOST' });
  teller1.push(detail('b'));
  expect(lost.length).toBe(1);
});
