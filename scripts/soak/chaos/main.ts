// `node scripts/soak/chaos/main.ts [SECONDS] [BUILDS] [redis|sqlite]`: the chaos of docs/operations.md; the report is one line of
// JSON.
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { runChaos } from './chaos.ts';

const [seconds = '600', builds = '200', queue = 'redis'] = process.argv.slice(2);
if (queue !== 'redis' && queue !== 'sqlite') throw new Error(`${queue} is no queue: redis or sqlite`);
const seed = Number(process.env['CLIPYARD_SOAK_SEED'] ?? Math.floor(Math.random() * 2 ** 32));
process.stderr.write(`chaos: CLIPYARD_SOAK_SEED=${seed} plays the same again\n`);
const parent = join(resolve(process.env['CLIPYARD_STATE'] ?? '.clipyard'), 'tmp');
await mkdir(parent, { recursive: true });
const directory = await mkdtemp(join(parent, 'chaos-'));
const size = { seed, seconds: Number(seconds), builds: Number(builds) };
const report = await runChaos({ ...size, queue, directory, mounts: 10 });
process.stdout.write(`${JSON.stringify(report)}\n`);
if (report.problems.length === 0) await rm(directory, { recursive: true, force: true });
else {
  process.stderr.write(`chaos: logs and states are in ${directory}\n`);
  process.exitCode = 1;
}
