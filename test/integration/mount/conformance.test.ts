import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { describeMount, type ExpectedTree, type OpenTree } from '../../conformance/mount.ts';
import { commandJson } from '../../support/command-line.ts';
import { type LayoutCodec, tarStream } from '../../support/corpus/index.ts';
import { awkwardTars, layoutOf, type PackOptions } from '../../support/native/index.ts';
import { snapshotTree, umociUnpack } from '../../support/oracle/index.ts';
import { publishArchive } from '../../support/published-archive.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

let scratch: TemporaryDirectory;
let tars: readonly Buffer[];
let control = '';
let expected: ExpectedTree;

beforeAll(async () => {
  scratch = await temporaryDirectory('conformance');
  const { plain } = await awkwardTars();
  tars = [...plain, await programLayer()];
  const startNs = BigInt(Date.now()) * 1_000_000n;
  control = await umociUnpack((await layoutOf(scratch.path, tars, 'gzip')).dir, join(scratch.path, 'bundle'));
  const tree = await snapshotTree(control);
  const touched = [...tree].filter(
    ([, { mtimeNs }]) => mtimeNs >= startNs && mtimeNs <= BigInt(Date.now() + 1) * 1_000_000n,
  );
  expected = { tree, touched: new Set(touched.map(([path]) => path)) };
});
afterAll(() => scratch[Symbol.asyncDispose]());

/** A program with everything in it, and one that the host's loader completes. */
async function programLayer(): Promise<Buffer> {
  return tarStream([
    { name: 'program/', type: '5', mode: 0o755 },
    { name: 'program/busybox', type: '0', data: await readFile('/bin/busybox'), mode: 0o755 },
    { name: 'program/dynamic', type: '0', data: await readFile('/bin/echo'), mode: 0o755 },
  ]);
}

/** Archive kinds by what the layers are before and how they are packed. A row is here when it runs. */
const kinds: readonly (readonly [name: string, source: LayoutCodec, codec: PackOptions['codec']])[] = [
  ['ours, zstd', 'plain', 'zstd'],
  ['ours, gzip', 'plain', 'gzip'],
  ['foreign gzip of one member', 'gzip', 'keep'],
  ['foreign gzip of many members', 'gzip-members', 'keep'],
  ['foreign zstd of one frame', 'zstd', 'keep'],
  ['plain', 'plain', 'none'],
];
const engines = ['erofs'] as const;

describeMount('a plain unpack', {
  expected: () => expected,
  open: () => Promise.resolve({ root: control, [Symbol.asyncDispose]: () => Promise.resolve() }),
  sparse: false,
  ownDisk: true,
});

for (const engine of engines)
  for (const [name, source, codec] of kinds)
    describeMount(`${engine}, ${name}`, {
      expected: () => expected,
      open: () => mounted(`${source}-${codec}`, source, codec),
      sparse: true,
      ownDisk: false,
    });

async function mounted(label: string, source: LayoutCodec, codec: PackOptions['codec']): Promise<OpenTree> {
  const dir = join(scratch.path, label);
  const root = join(dir, 'mount');
  await mkdir(root, { recursive: true });
  const { path } = await publishArchive(await layoutOf(dir, tars, source), { dir, codec, name: label });
  await commandJson(['mount', '--cache', join(dir, 'cache'), path, root]);
  return { root, [Symbol.asyncDispose]: () => commandJson(['umount', root]) };
}
