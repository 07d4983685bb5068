import { join } from 'node:path';
import { expect, test } from 'vitest';
import { describePlaced } from '../../../src/bench/image/place-image.ts';
import { notableFiles } from '../../../src/bench/mount/notable-files.ts';
import { OciLayout } from '../../../src/oci/index.ts';
import { content, type TarEntry, tarStream, writeLayout } from '../../support/corpus/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const signal = new AbortController().signal;
const file = (name: string, sizeBytes: number): TarEntry => ({
  name,
  type: '0',
  mode: 0o644,
  data: content(sizeBytes, sizeBytes),
});

async function notable(tars: readonly Buffer[]) {
  await using directory = await temporaryDirectory();
  const { dir } = await writeLayout(join(directory.path, 'layout'), tars, 'gzip');
  const layout = await OciLayout.open(dir, { signal });
  return await notableFiles(await describePlaced(layout, await layout.resolve('latest'), { signal }), { signal });
}

test('the far file is the last of a good size in the largest layer', async () => {
  const lower = [file('a', 400_000), file('d/b', 90_000), file('d/c', 50_000), file('tiny', 10)];
  const { far, largest } = await notable([tarStream(lower), tarStream([file('z', 100_000)])]);
  expect(largest).toEqual({ path: 'a', sizeBytes: 400_000 });
  expect(far).toMatchObject({ path: 'd/c', sizeBytes: 50_000 });
  expect(far.layerBytes).toBeGreaterThan(0);
});

test('files that an upper layer deletes, hides or replaces are not chosen', async () => {
  const lower = ['a', 'b', 'c', 'd/x', 'e/x', 'f'].map((name, at) => file(name, 300_000 + at));
  const upper = ['.wh.f', '.wh.e', 'd/.wh..wh..opq'].map((name) => file(name, 0));
  const { far, largest } = await notable([tarStream(lower), tarStream([...upper, file('c', 20)])]);
  expect(far.path).toBe('b');
  expect(largest.path).toBe('b');
});

test('an image without files cannot be read', async () => {
  await expect(notable([tarStream([])])).rejects.toMatchObject({ code: 'BENCH_IMAGE_UNSUITABLE' });
});
