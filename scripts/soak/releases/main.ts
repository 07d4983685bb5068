// Random histories of releases: scripts/soak.sh releases [HISTORIES]. Prints a line of JSON; ends with 1 when a tag did wrong.
import { checkHistories } from '../../../test/support/release/release-model.ts';

const histories = Number(process.argv[2] ?? 100_000);
const seed = Number(process.env['CLIPYARD_SOAK_SEED'] ?? Date.now() % 1_000_000_000);
const startedMs = performance.now();
const { violations, ...report } = await checkHistories(histories, seed, (done) => {
  process.stderr.write(`${done} histories\n`);
});
const seconds = Math.round((performance.now() - startedMs) / 100) / 10;
const document = { seed, ...report, seconds, violations: violations.length, first: violations.slice(0, 10) };
process.stdout.write(`${JSON.stringify(document)}\n`);
process.exitCode = violations.length === 0 ? 0 : 1;
