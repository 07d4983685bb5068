import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { IndexResult } from '../../../src/jobs/index.ts';
import { commandError, commandJson, runCommand } from '../../support/command-line.ts';
import { type LayoutCodec, type Stored, tarStream, writeLayout } from '../../support/corpus/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const stack = new AsyncDisposableStack();
let dir = '';
beforeAll(async () => {
  dir = stack.use(await temporaryDirectory('foreign-kinds')).path;
});
afterAll(() => stack.disposeAsync());

/** Made by test/interop/estargz-writer of a tar with d/, d/big, d/link and d/small. */
const ESTARGZ = readFileSync(join(import.meta.dirname, '../../fixtures/foreign-layers/estargz'));
const ENGINES = ['native', 'portable'] as const;
const tar = tarStream(['a', 'b', 'c'].map((name) => ({ name, type: '0', data: Buffer.alloc(300_000, name) })));
const frames = [tar.subarray(0, 300_000), tar.subarray(300_000, 700_000), tar.subarray(700_000)];
const packed = frames.map((frame) => zstdCompressSync(frame));

/** zstd, contrib/seekable_format: rows, then their number, a descriptor and a magic, in a skippable frame. */
function withSeekTable(change: (rows: [stored: number, plain: number][]) => void = () => undefined): Buffer {
  const rows = packed.map((frame, at): [number, number] => [frame.length, frames[at]?.length ?? 0]);
  change(rows);
  const table = Buffer.from(Uint32Array.from(rows.flat()).buffer);
  const u32 = (value: number): Buffer => Buffer.from(Uint32Array.of(value).buffer);
  const end = Buffer.concat([u32(rows.length), Buffer.of(0), u32(0x8f92eab1)]);
  return Buffer.concat([...packed, u32(0x184d2a5e), u32(table.length + end.length), table, end]);
}

interface Kind {
  readonly plain: Buffer;
  readonly codec: LayoutCodec;
  readonly stored?: Stored;
}

async function layoutOf(name: string, { plain, codec, stored }: Kind): Promise<string> {
  return (await writeLayout(join(dir, name), [plain], codec, stored)).dir;
}

const args = (layout: string, engine: string, output: string) => [
  ...['index', '--from', `oci:${layout}`, '--storage-ref', '127.0.0.1:5000/images:foreign', '--engine', engine],
  ...['--output', output, '--platform', 'linux/amd64', '--no-cache'],
];

async function indexed(layout: string, engine: string): Promise<IndexResult['layers'][number]> {
  const env = { CLIPYARD_STATE: join(dir, 'state') };
  const { layers } = await commandJson<IndexResult>(args(layout, engine, join(dir, `${engine}.clip`)), env);
  return layers[0]!;
}

for (const engine of ENGINES) {
  test(`${engine}: an estargz layer is told, and its table and landmark are the entries that an unpack gives`, async () => {
    const layout = await layoutOf('estargz', {
      plain: gunzipSync(ESTARGZ),
      codec: 'gzip',
      stored: { encode: () => ESTARGZ },
    });
    expect(await indexed(layout, engine)).toMatchObject({ format: 'estargz', seekable: true });
    const { stdout } = await runCommand(['ls', join(dir, `${engine}.clip`), '/']);
    for (const name of ['stargz.index.json', '.no.prefetch.landmark', 'd']) expect(stdout).toContain(name);
  });

  test(`${engine}: a zstd:chunked layer of skopeo is told`, async () => {
    const plain = await layoutOf('plain', { plain: tar, codec: 'plain' });
    const chunked = join(dir, `chunked-${engine}`);
    await promisify(execFile)('skopeo', [
      ...['copy', '--quiet', '--dest-compress-format', 'zstd:chunked', `oci:${plain}:latest`, `oci:${chunked}:latest`],
    ]);
    expect(await indexed(chunked, engine)).toMatchObject({ format: 'zstd:chunked', plainBytes: tar.length });
  });

  test(`${engine}: a seek table that fits the frames is told`, async () => {
    const layout = await layoutOf('seekable', { plain: tar, codec: 'zstd', stored: { encode: () => withSeekTable() } });
    expect(await indexed(layout, engine)).toMatchObject({ format: 'zstd-seekable', seekable: true });
  });

  test.for<[lie: string, change: (rows: [number, number][]) => void]>([
    ['another length', (rows) => (rows[1]![1] += 1)],
    ['a frame too few', (rows) => rows.pop()],
    ['a frame that is not there', (rows) => rows.push([100, 100])],
  ])(`${engine}: a seek table with %s is passed over with a warning`, async ([lie, change]) => {
    const encode = () => withSeekTable(change);
    const layout = await layoutOf(`lying-${lie.replaceAll(' ', '-')}`, {
      plain: tar,
      codec: 'zstd',
      stored: { encode },
    });
    const output = join(dir, 'lying.clip');
    const { exitCode, stderr, stdout } = await runCommand(['--json', ...args(layout, engine, output)], {
      CLIPYARD_STATE: join(dir, 'state'),
    });
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ layers: [{ format: 'zstd', seekable: true, plainBytes: tar.length }] });
    expect(stderr).toContain('does not fit its frames');
  });

  test(`${engine}: one large frame is no seekable layer`, async () => {
    const layout = await layoutOf('one-frame', { plain: tar, codec: 'zstd' });
    expect(await indexed(layout, engine)).toMatchObject({ format: 'zstd', seekable: false });
  });

  test.for<[mediaType: string, codec: LayoutCodec]>([
    ['application/vnd.docker.image.rootfs.diff.tar.zstd', 'zstd'],
    ['application/vnd.docker.image.rootfs.foreign.diff.tar', 'plain'],
    ['application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', 'gzip'],
    ['application/vnd.oci.image.layer.nondistributable.v1.tar+zstd', 'zstd'],
  ])(`${engine}: a layer of type %s is indexed where its bytes are there`, async ([mediaType, codec]) => {
    const layout = await layoutOf(mediaType.replaceAll('/', '-'), { plain: tar, codec, stored: { mediaType } });
    expect(await indexed(layout, engine)).toMatchObject({ mediaType, plainBytes: tar.length });
  });

  test(`${engine}: a media type with parameters is none of a descriptor`, async () => {
    const mediaType = 'application/vnd.oci.image.layer.v1.tar; x=y';
    const layout = await layoutOf('parameters', { plain: tar, codec: 'plain', stored: { mediaType } });
    const error = await commandError(args(layout, engine, join(dir, 'none.clip')), {
      CLIPYARD_STATE: join(dir, 'state'),
    });
    expect(error.code).toMatch(/^(?:MEDIA_TYPE_UNSUPPORTED|MANIFEST_INVALID)$/);
  });
}
