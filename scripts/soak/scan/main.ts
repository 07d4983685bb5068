import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compareSyft, syftProgram } from './syft.ts';
import { compareTrivy, trivyProgram } from './trivy.ts';

/**
 * Scans images with the real syft and the real trivy beside our own readers, and says where they differ: a line of JSON an image.
 * Each is built once a version. Fails where we see a package that syft does not, or where we and trivy do not find the same by the
 * same advisories; what syft alone sees of our kinds is named.
 */
const sources = process.argv.slice(2);
if (sources.length === 0) throw new Error('name images: WORKSPACE/IMAGE, s3://…, or an archive file');
const [syftPath, trivyPath] = [syftProgram(), trivyProgram()];
for (const source of sources) {
  const scratch = mkdtempSync(join(tmpdir(), 'clipyard-soak-scan-'));
  try {
    const syft = compareSyft(source, syftPath, scratch);
    const trivy = compareTrivy(source, trivyPath, scratch);
    process.stdout.write(`${JSON.stringify({ source, ...syft, trivy })}\n`);
    const wrong = [syft.onlyOurs, trivy.onlyOurs, trivy.onlyTrivy, trivy.missed];
    if (wrong.some((each) => each.length > 0)) process.exitCode = 1;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
