import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checkPrivilege } from '../../../src/cli/actions/doctor.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

test('root may do all', async () => {
  expect(await checkPrivilege(0, '')).toBe('root');
});

test('without root nothing is missing where fusermount3 is, and it says what needs root', async () => {
  await using folder = await temporaryDirectory();
  const path = `/nonexistent:${folder.path}`;
  await expect(checkPrivilege(1000, path)).rejects.toMatchObject({
    message: 'uid 1000, and fusermount3 is not on the PATH',
    advice: expect.stringContaining('fuse3') as unknown,
  });
  await writeFile(join(folder.path, 'fusermount3'), '', { mode: 0o755 });
  expect(await checkPrivilege(1000, path)).toBe(
    'uid 1000: mounts by engine fuse, read-only; run, --rw and engine erofs need root',
  );
});
