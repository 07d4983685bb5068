import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { clearKilledBuildkit, mountPointsBelow, unmountBelow } from '../../scripts/services/killed-buildkit.ts';
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

test('what a killed buildkitd left mounted goes before the next one starts, and nothing of one that runs', async () => {
  await using directory = await temporaryStateDirectory('killed buildkit');
  using stack = new DisposableStack();
  stack.defer(() => {
    unmountBelow(directory.path);
  });
  const at = (name: string) => join(directory.path, name);
  const [root, temporary] = [at('root'), at('tmp')];
  const mounted = [join(root, 'executor/a step/rootfs'), join(temporary, 'buildkit-mount1')];
  for (const point of mounted) {
    await mkdir(point, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', 'left', point]);
    await writeFile(join(point, 'file'), '');
  }
  const lock = join(root, 'buildkitd.lock');
  const daemon = spawn('flock', [lock, 'sh', '-c', 'echo locked; read line'], { stdio: ['pipe', 'pipe', 'ignore'] });
  stack.defer(() => daemon.kill('SIGKILL'));
  await once(daemon.stdout, 'data');
  clearKilledBuildkit(root, temporary);
  expect([...mountPointsBelow(root), ...mountPointsBelow(temporary)]).toEqual(mounted);
  daemon.stdin.end();
  await once(daemon, 'close');
  clearKilledBuildkit(root, temporary);
  expect([...mountPointsBelow(root), ...mountPointsBelow(temporary)]).toEqual([]);
  expect(readdirSync(temporary)).toEqual([]);
  expect(existsSync(lock)).toBe(true);
});
