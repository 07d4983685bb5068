import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { bytesOf, queueSettings, readWorkerConfig, runSettings } from '../../../src/worker/index.ts';
import { diskReason } from '../../../src/worker/loop/disk.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

test('without a file everything has a default', async () => {
  const config = await readWorkerConfig(undefined);
  expect(config).toMatchObject({ concurrency: 2, drainBudgetSeconds: 300 });
  expect(runSettings(config).limits.phaseMs.pushing).toBe(3_600_000);
  expect(queueSettings(config, () => 0)).toMatchObject({ leaseMs: 30_000, maxAttempts: 8 });
  expect(bytesOf(config.disk.keepFree)).toBe(5_000_000_000);
});

test.for<[text: string, says: RegExp]>([
  ['{"concurency": 1}', /unrecognized key.*concurency/i],
  ['{"concurrency": 0}', /concurrency/],
  ['{"limits": {"imageBytes": "a lot"}}', /limits\.imageBytes: no size/],
  ['{"queue": {"weights": {"a": -1}}}', /queue\.weights\.a/],
  ['{', /is no JSON/],
])('a file with %s is refused by its field', async ([text, says]) => {
  await using directory = await temporaryDirectory('config');
  const path = join(directory.path, 'worker.json');
  await writeFile(path, text);
  await expect(readWorkerConfig(path)).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringMatching(says) as string,
  });
});

test('a disk below its watermark is a reason to take nothing', () => {
  expect(diskReason({ freeBytes: 5e9, bytes: 1e11 }, 5e9)).toBeUndefined();
  expect(diskReason({ freeBytes: 4e9, bytes: 1e11 }, 5e9)).toBe('disk: 4.00 GB free, 5.00 GB are kept free');
});
