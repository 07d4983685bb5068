import { join } from 'node:path';
import { expect, test } from 'vitest';
import { describe, fileSource, openArchive } from '../../../src/archive/index.ts';

const signal = AbortSignal.timeout(20_000);
const golden = join(import.meta.dirname, '../../golden/archive/small.clip');

test('the golden archive of the native writer is proven and read by this reader', async () => {
  await using source = await fileSource(golden);
  const archive = await openArchive(source, { signal });
  await archive.verify({ signal });
  const description = await describe(archive, { signal });
  expect(description).toMatchObject({ kind: 'clipyard', format: { major: 1, minor: 0 }, counts: { entries: 16 } });
  expect(description.sections.map(({ name }) => name)).toEqual(['config', 'extra', 'layers', 'erofs']);
});
