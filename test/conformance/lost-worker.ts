import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { openQueue, type StoredEvent } from '../../src/queue/index.ts';
import { queueSettings, submission, worker } from '../support/queue/submissions.ts';

const { signal } = new AbortController();
const LEASE_MS = 1500;
const HOLDER = new URL('../support/queue/holder.ts', import.meta.url).pathname;

/** A worker process that is killed in the middle: the next goes on from its journal, and no event is lost or doubled. */
export function testLostWorker(name: string, place: () => Promise<AsyncDisposable & { readonly address: string }>) {
  test(`a killed worker's job goes to the next with its journal, and no event is lost or doubled (${name})`, async () => {
    await using where = await place();
    const settings = { ...queueSettings({ now: Date.now }), leaseMs: LEASE_MS };
    await using queue = await openQueue(where.address, settings);
    const { record } = await queue.submit(submission('a'), { signal });
    const seen: StoredEvent[] = [];
    const watching = (async () => {
      const timeout = AbortSignal.timeout(60_000);
      for await (const event of queue.watch('a', record.buildId, { after: 0, signal: timeout })) seen.push(event);
    })();

    const child = spawn(process.execPath, [HOLDER, where.address, String(LEASE_MS)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const closed = once(child, 'close');
    let kept = -1;
    for await (const line of createInterface({ input: child.stdout })) {
      kept = Number(line);
      if (kept === 40) child.kill('SIGKILL');
    }
    await closed;
    expect(kept).toBeGreaterThanOrEqual(40);

    let lease = await queue.take(worker('next'), { signal });
    while (lease === undefined) {
      await queue.waitForWork(100, { signal });
      lease = await queue.take(worker('next'), { signal });
    }
    await using held = lease;
    expect(held.job).toMatchObject({ attempt: 2, journal: [{ step: 'built', data: { digest: 'sha256:1' } }] });
    await held.end({ state: 'done', result: null });
    await watching;

    expect(seen.map(({ cursor }) => cursor)).toEqual(seen.map((_, at) => at + 1));
    const lines = seen.flatMap(({ kind, what }) => (kind === 'log' ? [(what as { line: number }).line] : []));
    expect(lines).toEqual(lines.map((_, at) => at));
    // The last one may have been kept without the worker living to say so.
    expect(lines.length - 1 - kept).toBeOneOf([0, 1]);
    expect(seen.at(-2)).toMatchObject({ phase: 'queued', what: { why: 'worker lost', workerId: 'killed' } });
    expect(seen.at(-1)).toMatchObject({ phase: 'done', attempt: 2 });
  });
}
