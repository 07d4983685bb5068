import { chmod, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { describeMount, type ExpectedTree, type OpenTree } from '../../conformance/mount.ts';
import { commandJson } from '../../support/command-line.ts';
import { type LayoutCodec, tarStream } from '../../support/corpus/index.ts';
import { awkwardTars, layoutOf, makeArchive, type PackOptions } from '../../support/native/index.ts';
import { snapshotTree, umociUnpack } from '../../support/oracle/index.ts';
import { publishArchive, publishStockArchive, putBlobs } from '../../support/published-archive.ts';
import { serviceSetting } from '../../support/services.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

let scratch: TemporaryDirectory;
let tars: readonly Buffer[];
let control = '';
let expected: ExpectedTree;
/** V1 has no place for extended attributes. */
const expectedOfV1 = (): ExpectedTree => ({
  ...expected,
  tree: new Map([...expected.tree].map(([path, entry]) => [path, { ...entry, xattrs: {} }])),
});

beforeAll(async () => {
  scratch = await temporaryDirectory('conformance');
  const { plain } = await awkwardTars();
  tars = [...plain, await programLayer()];
  const startNs = BigInt(Date.now()) * 1_000_000n;
  control = await umociUnpack((await layoutOf(scratch.path, tars, 'gzip')).dir, join(scratch.path, 'bundle'));
  for (const open of [scratch.path, join(scratch.path, 'bundle')]) await chmod(open, 0o755); // other users look too
  const tree = await snapshotTree(control);
  const touched = [...tree].filter(
    ([, { mtimeNs }]) => mtimeNs >= startNs && mtimeNs <= BigInt(Date.now() + 1) * 1_000_000n,
  );
  expected = { tree, touched: new Set(touched.map(([path]) => path)) };
});
afterAll(() => scratch[Symbol.asyncDispose]());

/** cap_dac_read_search=ep (linux/capability.h, `vfs_cap_data`, revision 2). */
const MAY_READ = Buffer.from('0100000204000000000000000000000000000000', 'hex');
const ACL = 'system.posix_acl_access';
/** user::rw-, user:65534:r--, group::---, mask::r--, other::--- (linux/posix_acl_xattr.h). */
const NOBODY_READS = Buffer.from(
  ['02000000', '01000600ffffffff', '02000400feff0000', '04000000ffffffff', '10000400ffffffff', '20000000ffffffff'].join(
    '',
  ),
  'hex',
);

/** A program with everything in it, and one that the host's loader completes. */
async function programLayer(): Promise<Buffer> {
  const [id, cat] = await Promise.all([readFile('/usr/bin/id'), readFile('/bin/cat')]);
  return tarStream([
    { name: 'program/', type: '5', mode: 0o755 },
    { name: 'program/busybox', type: '0', data: await readFile('/bin/busybox'), mode: 0o755 },
    { name: 'program/dynamic', type: '0', data: await readFile('/bin/echo'), mode: 0o755 },
    { name: 'program/id', type: '0', data: id, mode: 0o755 },
    { name: 'program/setuid', type: '0', data: id, mode: 0o4755 },
    { name: 'program/cat', type: '0', data: cat, mode: 0o755 },
    { name: 'program/capable', type: '0', data: cat, mode: 0o755, xattrs: { 'security.capability': MAY_READ } },
    { name: 'program/secret', type: '0', data: 'secret', mode: 0o600 },
    { name: 'program/listed', type: '0', data: 'listed', mode: 0o640, xattrs: { [ACL]: NOBODY_READS } },
  ]);
}

/** Archive kinds by what the layers are before and how the archive is made. A row is here when it runs. */
const kinds: readonly (readonly [name: string, source: LayoutCodec, make: PackOptions['codec'] | 'stock' | 'v1'])[] = [
  ['ours, zstd', 'plain', 'zstd'],
  ['ours, gzip', 'plain', 'gzip'],
  ['foreign gzip of one member', 'gzip', 'keep'],
  ['foreign gzip of many members', 'gzip-members', 'keep'],
  ['foreign zstd of one frame', 'zstd', 'keep'],
  ['plain', 'plain', 'none'],
  ['CLIP without our sections', 'gzip', 'stock'],
  ['V1', 'plain', 'v1'],
];
const engines = ['erofs', 'fuse'] as const;

describeMount('a plain unpack', {
  expected: () => expected,
  open: () => Promise.resolve({ root: control, [Symbol.asyncDispose]: () => Promise.resolve() }),
  sparse: false,
  ownDisk: true,
  direct: true,
  attributes: true,
});

for (const engine of engines)
  for (const [name, source, make] of kinds)
    describeMount(`${engine}, ${name}`, {
      expected: make === 'v1' ? expectedOfV1 : () => expected,
      open: () => mounted(engine, source, make),
      sparse: make !== 'v1',
      ownDisk: false,
      direct: engine === 'fuse', // EROFS over files refuses it
      attributes: make !== 'v1',
    });

for (const engine of engines)
  for (const place of ['bucket', 'folder'] as const)
    for (const [name, source, make] of [kinds[0], kinds[2]] as typeof kinds)
      describeMount(`${engine}, ${name}, blobs in a ${place}`, {
        expected: () => expected,
        open: () => mountedFrom(place, engine, source, make as PackOptions['codec']),
        sparse: true,
        ownDisk: false,
        direct: engine === 'fuse',
        attributes: true,
      });

/** The registry that the archive names does not exist. */
async function mountedFrom(
  place: 'bucket' | 'folder',
  engine: string,
  source: LayoutCodec,
  codec: PackOptions['codec'],
): Promise<OpenTree> {
  const name = `${engine}-${source}-${place}`;
  const dir = join(scratch.path, name);
  const root = join(dir, 'mount');
  await mkdir(root, { recursive: true });
  const where = { registry: '127.0.0.1:1', repository: `nowhere/${name}` };
  const archive = await makeArchive(await layoutOf(dir, tars, source), { dir, codec, name, ...where });
  const url =
    place === 'folder'
      ? `file://${dir}/store`
      : `${serviceSetting('CLIPYARD_STORE')}/conformance-${process.pid}/${name}`;
  await putBlobs(archive, url);
  await commandJson(['mount', '--engine', engine, '--cache', join(dir, 'cache'), '--blobs', url, archive.path, root]);
  return { root, [Symbol.asyncDispose]: () => commandJson(['umount', root]) };
}

async function mounted(engine: string, source: LayoutCodec, make: (typeof kinds)[number][2]): Promise<OpenTree> {
  const label = `${engine}-${source}-${make}`;
  const dir = join(scratch.path, label);
  const root = join(dir, 'mount');
  await mkdir(root, { recursive: true });
  const path = await archiveOf(dir, label, source, make);
  await commandJson(['mount', '--engine', engine, '--cache', join(dir, 'cache'), path, root]);
  return { root, [Symbol.asyncDispose]: () => commandJson(['umount', root]) };
}

async function archiveOf(
  dir: string,
  label: string,
  source: LayoutCodec,
  make: (typeof kinds)[number][2],
): Promise<string> {
  const layout = await layoutOf(dir, tars, source);
  if (make === 'v1') {
    const output = join(dir, 'v1.clip');
    const from = ['--from', `oci:${layout.dir}:latest`, '--storage-ref', `127.0.0.1:1/none:${label}`];
    await commandJson(['index', ...from, '--archive-format', 'v1', '--output', output]);
    return output;
  }
  if (make !== 'stock') return (await publishArchive(layout, { dir, codec: make, name: label })).path;
  return await publishStockArchive(layout, { dir, name: label });
}
