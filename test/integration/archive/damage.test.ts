import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bytesSource, openArchive } from '../../../src/archive/index.ts';
import { WorkerError } from '../../../src/errors/index.ts';
import { sparsePaxLayer } from '../../support/corpus/index.ts';
import { layoutOf, makeArchive, verifyArchive } from '../../support/native/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const { signal } = new AbortController();
const CODES = ['ARCHIVE_CORRUPT', 'ARCHIVE_NOT_CLIP', 'ARCHIVE_TRUNCATED', 'FORMAT_TOO_NEW'];
const stack = new AsyncDisposableStack();
let dir = '';
let bytes = Buffer.alloc(0);

beforeAll(async () => {
  dir = stack.use(await temporaryDirectory('damage')).path;
  const { path } = await makeArchive(await layoutOf(dir, [sparsePaxLayer()]), { dir, codec: 'zstd', name: 'small' });
  bytes = await readFile(path);
});
afterAll(() => stack.disposeAsync());

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'none';
  } catch (thrown) {
    if (thrown instanceof WorkerError) return thrown.code;
    throw thrown;
  }
}

const byReader = (damaged: Buffer): Promise<string> =>
  codeOf(openArchive(bytesSource(damaged), { signal }).then((archive) => archive.verify({ signal })));

async function byVerifier(damaged: Buffer): Promise<string> {
  const path = join(dir, 'damaged.clip');
  await writeFile(path, damaged);
  return codeOf(verifyArchive(path));
}

function flipped(at: number): Buffer {
  const damaged = Buffer.from(bytes);
  damaged[at]! ^= 1 << (at % 8);
  return damaged;
}

test('the archive is in order before it is damaged', async () => {
  expect([await byReader(bytes), await byVerifier(bytes)]).toEqual(['none', 'none']);
});

test('the reader of this project meets every flipped byte with a code', async () => {
  for (let at = 0; at < bytes.length; at += 5) expect(CODES, `byte ${at}`).toContain(await byReader(flipped(at)));
});

test('the native verifier meets flipped bytes of every part with a code', async () => {
  const step = Math.ceil(bytes.length / 150) | 1;
  for (let at = 0; at < bytes.length; at += step) expect(CODES, `byte ${at}`).toContain(await byVerifier(flipped(at)));
});

test('both meet every kind of cut with a code', async () => {
  const cuts = [
    0,
    1,
    8,
    9,
    53,
    54,
    600,
    4095,
    4096,
    4097,
    bytes.length - 4097,
    bytes.length - 4096,
    bytes.length - 4095,
    bytes.length - 32,
    bytes.length - 1,
  ];
  for (const length of cuts) {
    const cut = bytes.subarray(0, length);
    expect(CODES, `${length} bytes`).toContain(await byReader(cut));
    expect(CODES, `${length} bytes`).toContain(await byVerifier(cut));
  }
});
