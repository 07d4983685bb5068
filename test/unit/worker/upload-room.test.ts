import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openStore } from '../../../src/objects/index.ts';
import { requireRoom } from '../../../src/worker/index.ts';
import { storeContext } from '../../../src/worker/intake/context-store.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const { signal } = new AbortController();
const PIECE = Buffer.alloc(8 * 1024 ** 2);

test('an upload is refused while the disk is nearly full, also when it becomes so on the way', async () => {
  await using scratch = await temporaryDirectory('room');
  await using store = openStore(`file://${scratch.path}/store`, {});
  let freeBytes = 0;
  let taken = 0;
  const pieces = async function* () {
    for (let count = 0; count < 9; count += 1) {
      yield await Promise.resolve(PIECE);
      taken += 1;
      if (count === 4) freeBytes = 50;
    }
  };
  const upload = async () => {
    const room = async () => {
      await Promise.resolve();
      requireRoom({ freeBytes, bytes: 1000 }, 100);
    };
    const rest = { keepUploadsMs: 1e9, now: Date.now, scratchDir: scratch.path, store, signal };
    return await storeContext('w', pieces(), { ...rest, maxBytes: 1e9, requireRoom: room });
  };
  await expect(upload()).rejects.toMatchObject({ code: 'WORKER_DISK_LOW', retryable: true, category: 'unavailable' });
  expect(taken).toBeLessThan(4);
  [freeBytes, taken] = [150, 0];
  await expect(upload()).rejects.toMatchObject({ code: 'WORKER_DISK_LOW' });
  expect(taken).toBeGreaterThanOrEqual(8);
  expect(await readdir(join(scratch.path, 'uploads'))).toEqual([]);
  expect(await readdir(join(scratch.path, 'store')).catch(() => [])).toEqual([]);
});
