import fc from 'fast-check';
import { expect } from 'vitest';
import type { BuildQueue, Lease, QueueSettings } from '../../../src/queue/index.ts';
import { Clock, queueSettings, submission, worker } from './submissions.ts';

const options = { signal: new AbortController().signal };

/** What a build should be: nothing but states and who shares what. */
interface Model {
  readonly jobs: Map<string, { key: string; state: 'queued' | 'running' | 'done'; live: Set<string> }>;
  readonly builds: Map<string, { job: string; state: 'open' | 'canceled' | 'done' }>;
}

type Step =
  | { readonly do: 'submit'; readonly key: number }
  | { readonly do: 'cancel'; readonly at: number }
  | { readonly do: 'take' | 'end' | 'retry' | 'handBack' | 'expire' };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant('submit' as const), key: fc.nat(3) }),
    fc.record({ do: fc.constant('cancel' as const), at: fc.nat(9) }),
    fc.record({ do: fc.constantFrom('take', 'end', 'retry', 'handBack', 'expire') }),
  ),
  { maxLength: 25 },
);

async function play(queue: BuildQueue, clock: Clock, todo: readonly Step[]): Promise<void> {
  const model: Model = { jobs: new Map(), builds: new Map() };
  const held: Lease[] = [];
  const release = async (how: (lease: Lease) => Promise<void>, state: 'queued' | 'done') => {
    const lease = held.shift();
    if (lease === undefined) return;
    await how(lease);
    await lease[Symbol.asyncDispose]();
    const job = model.jobs.get(lease.job.jobId)!;
    job.state = job.live.size === 0 ? 'done' : state;
    if (state === 'done') for (const id of job.live) model.builds.get(id)!.state = 'done';
  };
  for (const step of todo) {
    switch (step.do) {
      case 'submit': {
        const key = String(step.key);
        const { record, how } = await queue.submit(submission('a', { key }), options);
        const sharable = [...model.jobs].find(([, it]) => it.key === key && it.state !== 'done' && it.live.size > 0);
        expect(how).toBe(sharable === undefined ? 'queued' : 'shared');
        if (sharable === undefined) model.jobs.set(record.jobId, { key, state: 'queued', live: new Set() });
        else expect(record.jobId).toBe(sharable[0]);
        model.jobs.get(record.jobId)!.live.add(record.buildId);
        model.builds.set(record.buildId, { job: record.jobId, state: 'open' });
        break;
      }
      case 'cancel': {
        const [id, build] = [...model.builds][step.at] ?? [];
        if (id === undefined || build === undefined) break;
        await queue.cancel('a', id, 'no', options);
        if (build.state !== 'open') break;
        build.state = 'canceled';
        const job = model.jobs.get(build.job)!;
        job.live.delete(id);
        if (job.live.size === 0 && job.state === 'queued') job.state = 'done';
        break;
      }
      case 'take': {
        const lease = await queue.take(worker('w'), options);
        const waiting = [...model.jobs].find(([, it]) => it.state === 'queued');
        expect(lease?.job.jobId).toBe(waiting?.[0]);
        if (lease === undefined || waiting === undefined) break;
        waiting[1].state = 'running';
        held.push(lease);
        break;
      }
      case 'end':
        await release((lease) => lease.end({ state: 'done', result: null }), 'done');
        break;
      case 'retry': {
        const failure = { code: 'IO_FAILED', message: 'x', phase: 'building', retryable: true, details: {} } as const;
        await release((lease) => lease.retry(failure, 0), 'queued');
        break;
      }
      case 'handBack':
        await release((lease) => lease.handBack(), 'queued');
        break;
      case 'expire': {
        for (const lease of held) await lease[Symbol.asyncDispose]();
        clock.advance(31_000);
        await queue.reap(options);
        for (const { job } of held.splice(0)) {
          const it = model.jobs.get(job.jobId)!;
          it.state = it.live.size === 0 ? 'done' : 'queued';
        }
        break;
      }
    }
    const count = (state: string) => [...model.jobs.values()].filter((it) => it.state === state).length;
    expect(await queue.depth(options)).toMatchObject({ queued: count('queued'), running: count('running') });
  }
  for (const [id, build] of model.builds) {
    const record = await queue.get('a', id, options);
    const job = model.jobs.get(build.job)!;
    const expected = build.state === 'open' ? (job.state === 'running' ? 'preparing' : 'queued') : build.state;
    expect(record).toMatchObject({ state: expected, sharedBy: build.state === 'canceled' ? 1 : job.live.size });
  }
  for (const lease of held) await lease[Symbol.asyncDispose]();
}

/** Plays random orders of calls on new queues, and holds each to a simple model. */
export async function playAgainstModel(
  open: (settings: QueueSettings) => Promise<BuildQueue>,
  { runs }: { readonly runs: number },
): Promise<void> {
  const property = fc.asyncProperty(steps, async (todo) => {
    const clock = new Clock();
    await using queue = await open(queueSettings(clock, { maxAttempts: 1000 }));
    await play(queue, clock, todo);
  });
  await fc.assert(property, { numRuns: runs });
}
