// Index of an existing gzip image, ours against the stock CLIP indexer, both from the loopback registry:
//   bench/index-image.ts 127.0.0.1:5000/repository:tag [rounds]
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { interleave, machine } from './harness.ts';

const [image = '', rounds = '5'] = process.argv.slice(2);
const root = join(import.meta.dirname, '..');
const scratch = mkdtempSync(join(tmpdir(), 'clipyard-bench-'));
try {
  const clipyard = join(root, 'scripts/clipyard');
  const output = join(scratch, 'ours.clip');
  const summaries = await interleave(
    [
      {
        name: 'clip',
        command: [
          join(root, '.clipyard/bin/clip-reader'),
          'index',
          '--image',
          image,
          '--out',
          join(scratch, 'clip.clip'),
        ],
      },
      {
        name: 'ours',
        command: [clipyard, '--json', 'index', '--from', `docker://${image}`, '--output', output, '--no-cache'],
      },
      {
        name: 'ours, cached',
        command: [clipyard, '--json', 'index', '--from', `docker://${image}`, '--output', output],
      },
    ],
    Number(rounds),
  );
  const [clip, ours] = summaries;
  const ratio = (ours?.medianSeconds ?? 0) / (clip?.medianSeconds ?? 1);
  process.stdout.write(
    `${JSON.stringify({ bench: 'index', machine: machine(), image, ratioToClip: ratio, summaries })}\n`,
  );
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
