// Kills commands behind every request: scripts/soak.sh kills [SUBJECT[@REGISTRY]...]. A line for each kill, then a line of JSON; ends
// with 1 when one did not end legally. CLIPYARD_KILL_STEP=N kills behind every N-th request only.
import { messageOf } from '../../../src/errors/index.ts';
import { KillRig, type KillSubject } from '../../../test/support/release/kill-rig.ts';
import { killSubjects } from '../../../test/support/release/kill-subjects.ts';

const step = Number(process.env['CLIPYARD_KILL_STEP'] ?? 1);
const asked = process.argv.slice(2);
const failures: string[] = [];
const counts: Record<string, { requests: number; kills: number; illegal: number }> = {};

for (const registry of ['olareg', 'distribution'] as const) {
  await using rig = await KillRig.start(registry);
  for (const subject of killSubjects) {
    const name = `${subject.name}@${registry}`;
    if (asked.length === 0 || asked.includes(name) || asked.includes(subject.name)) await sweep(name, subject, rig);
  }
}

async function sweep(name: string, subject: KillSubject, rig: KillRig): Promise<void> {
  const requests = await rig.count(subject);
  const count = { requests, kills: 0, illegal: 0 };
  counts[name] = count;
  for (let at = 1; at <= requests; at += step) {
    try {
      const outcome = await rig.killedAt(at, subject);
      if (outcome.kind === 'killed') count.kills++;
      const what = outcome.kind === 'killed' ? `${outcome.method} ${outcome.path}` : 'it ended before';
      process.stdout.write(`${name}: killed at ${at} of ${requests}: ${what}\n`);
    } catch (thrown) {
      count.illegal++;
      failures.push(`${name} at ${at}: ${messageOf(thrown)}`);
      process.stdout.write(`${name}: killed at ${at} of ${requests}: NO LEGAL END: ${messageOf(thrown)}\n`);
    }
  }
}

process.stdout.write(
  `${JSON.stringify({ step, subjects: counts, illegal: failures.length, first: failures.slice(0, 10) })}\n`,
);
process.exitCode = failures.length === 0 ? 0 : 1;
