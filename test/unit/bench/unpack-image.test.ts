import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { describePlaced } from '../../../src/bench/image/place-image.ts';
import { unpackImage } from '../../../src/bench/image/unpack-image.ts';
import { OciLayout } from '../../../src/oci/index.ts';
import { type LayoutCodec, type TarEntry, tarStream, writeLayout } from '../../support/corpus/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const signal = new AbortController().signal;

const file = (name: string, data = 'x'): TarEntry => ({ name, type: '0', mode: 0o644, data });

async function unpack(directory: string, tars: readonly Buffer[], codec: LayoutCodec, spoil?: (path: string) => void) {
  const written = await writeLayout(join(directory, 'layout'), tars, codec);
  for (const { path } of written.layers) spoil?.(path);
  const layout = await OciLayout.open(written.dir, { signal });
  const placed = await describePlaced(layout, await layout.resolve('latest'), { signal });
  return await unpackImage(placed, join(directory, 'context'), { jobs: 2, signal });
}

test.for<LayoutCodec>(['plain', 'gzip', 'gzip-members', 'zstd'])(
  '%s layers become the tars they are made of, and a step each',
  async (codec) => {
    await using directory = await temporaryDirectory();
    const tars = [tarStream([file('a', 'y'.repeat(300_000)), file('d/b')]), tarStream([]), tarStream([file('c')])];
    const unpacked = await unpack(directory.path, tars, codec);
    expect(unpacked).toEqual({ entries: 3, plainBytes: (tars[0]?.length ?? 0) + (tars[2]?.length ?? 0) });
    const context = join(directory.path, 'context');
    expect(readFileSync(join(context, 'layer0.tar')).equals(tars[0] ?? Buffer.alloc(0))).toBe(true);
    expect(readFileSync(join(context, 'layer2.tar')).equals(tars[2] ?? Buffer.alloc(0))).toBe(true);
    // A tar of nothing would be added as a file.
    expect(existsSync(join(context, 'layer1.tar'))).toBe(false);
    const dockerfile = readFileSync(join(context, 'Dockerfile'), 'utf8');
    expect(dockerfile).toBe('FROM scratch\nADD layer0.tar /\nADD layer2.tar /\nCMD ["/bin/true"]\n');
  },
);

test.for(['d/.wh.gone', '.wh..wh..opq'])('a layer with %s is refused by the name of the entry', async (name) => {
  await using directory = await temporaryDirectory();
  const tars = [tarStream([file('d/gone')]), tarStream([file('d/new'), file(name, '')])];
  await expect(unpack(directory.path, tars, 'gzip')).rejects.toMatchObject({
    code: 'BENCH_IMAGE_UNSUITABLE',
    details: { entry: name },
  });
  expect(existsSync(join(directory.path, 'context', 'Dockerfile'))).toBe(false);
});

test('.wh. in the middle of a name, or of a folder, deletes nothing', async () => {
  await using directory = await temporaryDirectory();
  expect(await unpack(directory.path, [tarStream([file('a.wh.b'), file('x.wh./c')])], 'zstd')).toMatchObject({
    entries: 2,
  });
});

test('a blob that is not the one of the manifest is told', async () => {
  await using directory = await temporaryDirectory();
  const spoil = (path: string) => {
    writeFileSync(path, tarStream([file('b')]));
  };
  await expect(unpack(directory.path, [tarStream([file('a')])], 'plain', spoil)).rejects.toMatchObject({
    code: 'BLOB_MISMATCH',
  });
});
