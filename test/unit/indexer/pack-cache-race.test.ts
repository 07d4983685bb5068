import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { verifyPacks } from '../../../src/indexer/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const worker = join(import.meta.dirname, '..', '..', 'support', 'pack-cache-worker.ts');

test('processes that get, put, drop and collect at once never see a torn entry', async () => {
  await using directory = await temporaryDirectory();
  const run = promisify(execFile);
  const ended = await Promise.all(
    ['one', 'two', 'three', 'four'].map((name) => run(process.execPath, [worker, directory.path, name])),
  );
  const hits = ended.map(({ stdout }) => (JSON.parse(stdout) as { hits: number }).hits);
  expect(hits.reduce((sum, next) => sum + next, 0)).toBeGreaterThan(0);
  expect((await verifyPacks(directory.path, { signal: AbortSignal.timeout(60_000) })).damaged).toEqual([]);
});
