import { expect, test } from 'vitest';
import { runChaos } from '../../scripts/soak/chaos/chaos.ts';
import { planChaos } from '../../scripts/soak/chaos/plan.ts';
import { temporaryStateDirectory } from '../support/temporary-directory.ts';

// scripts/soak.sh chaos does the same for ten minutes.
test('builds end once in public while every part dies and sleeps at random', { timeout: 400_000 }, async () => {
  await using directory = await temporaryStateDirectory('chaos');
  const seed = Number(process.env['CLIPYARD_SOAK_SEED'] ?? Math.floor(Math.random() * 2 ** 32));
  const size = { seed, seconds: 15, builds: 14 };
  const queue = seed % 3 === 0 ? 'sqlite' : 'redis';
  const report = await runChaos({ ...size, queue, directory: directory.path, mounts: 2 });
  expect(report.problems, JSON.stringify(report)).toEqual([]);
  expect(report.faults).toBeGreaterThan(queue === 'redis' ? 5 : 3);
});

test('a seed gives the same plan again', () => {
  const size = { seed: 12, seconds: 60, builds: 40 };
  const plan = planChaos(size, ['a', 'b']);
  expect(planChaos(size, ['a', 'b'])).toEqual(plan);
  expect(planChaos({ ...size, seed: 13 }, ['a', 'b'])).not.toEqual(plan);
  for (const part of ['a', 'b']) {
    const faults = plan.faults.filter((fault) => fault.part === part);
    expect(faults.length).toBeGreaterThan(2);
    for (const [at, { atMs }] of faults.entries()) {
      const before = faults[at - 1];
      if (before !== undefined) expect(atMs).toBeGreaterThan(before.atMs + before.forMs);
    }
  }
});
