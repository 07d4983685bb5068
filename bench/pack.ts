// Pack alone, of the plain layers of a landing layout (compress, both sha256, chunk digests, file table):
//   bench/pack.ts .clipyard/landing/team-web [rounds]
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { type Contender, interleave, machine } from './harness.ts';

const [layout = '', rounds = '5'] = process.argv.slice(2);
const tool = join(import.meta.dirname, '../.clipyard/bin/clipyard-index');
const scratch = mkdtempSync(join(dirname(layout), 'bench-'));

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

function blob(digest: string): unknown {
  return JSON.parse(readFileSync(join(layout, 'blobs/sha256', digest.slice(7)), 'utf8'));
}

const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as { manifests: Descriptor[] };
const { layers } = blob(index.manifests[0]?.digest ?? '') as { layers: Descriptor[] };
const plain = layers.filter(({ mediaType }) => mediaType.endsWith('.tar'));
const plainBytes = plain.reduce((sum, { size }) => sum + size, 0);

function contender(codec: string, level: number): Contender {
  const directory = join(scratch, `${codec}-${level}`);
  const jobs = plain.map(({ digest, mediaType }, at) => ({
    id: String(at),
    source: join(layout, 'blobs/sha256', digest.slice(7)),
    mediaType,
    diffId: digest,
    action: { kind: 'pack', codec, level, output: join(directory, `${at}.blob`) },
    index: join(directory, `${at}.idx`),
  }));
  const request = JSON.stringify({ v: 1, jobs: availableParallelism(), chunkBytes: 256 * 1024, layers: jobs });
  return {
    name: `${codec} ${level}`,
    command: [tool, 'pack'],
    input: `${request}\n`,
    prepare: () => {
      rmSync(directory, { recursive: true, force: true });
      mkdirSync(directory);
    },
  };
}

try {
  const summaries = await interleave(
    [contender('zstd', 1), contender('zstd', 3), contender('gzip', 1)],
    Number(rounds),
  );
  const perGigabyte = summaries.map(({ medianCpuSeconds, medianSeconds, name }) => ({
    name,
    secondsPerGb: medianSeconds / (plainBytes / 1e9),
    // 1 would be all cores busy with nothing but this work.
    ofCpuBound: medianSeconds / (medianCpuSeconds / availableParallelism()),
  }));
  process.stdout.write(
    `${JSON.stringify({ bench: 'pack', machine: machine(), plainBytes, perGigabyte, summaries })}\n`,
  );
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
