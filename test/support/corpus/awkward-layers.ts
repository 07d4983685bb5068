import { content } from './content.ts';
import { type SparseFile, sparse00, sparse01, sparse10, sparseOldGnu } from './sparse.ts';
import { type Bytes, paxEntry, type TarEntry, tarStream } from './tar-entry.ts';

/** The chunk size the image is made for: files stand around it. */
export const CHUNK_BYTES = 262_144;

type Extra = Omit<TarEntry, 'name' | 'type'>;
const dir = (name: Bytes, extra: Extra = {}): TarEntry => ({ mode: 0o755, ...extra, name, type: '5' });
const file = (name: Bytes, data: Bytes = '', extra: Extra = {}): TarEntry => ({ ...extra, name, type: '0', data });
const link = (name: Bytes, linkName: Bytes, extra: Extra = {}): TarEntry => ({ ...extra, name, type: '1', linkName });
const symlink = (name: Bytes, linkName: Bytes, extra: Extra = {}): TarEntry => ({
  mode: 0o777,
  ...extra,
  name,
  type: '2',
  linkName,
});
const whiteout = (name: string): TarEntry => file(name);
const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
const times = (count: number, make: (at: number) => TarEntry): TarEntry[] =>
  Array.from({ length: count }, (_, at) => make(at));
const long = (length: number, first: string): string => first.repeat(length).slice(0, length);

/** VFS_CAP_REVISION_2 with cap_net_raw permitted and effective (capability.h). */
const CAPABILITY = Buffer.from('0100000200200000000000000000000000000000', 'hex');
/** POSIX ACL, version 2: owner rwx, uid 1000 r-x, group r-x, mask r-x, other nothing. The mask equals the group bits. */
const ACL = Buffer.from(
  '0200000001000700ffffffff02000500e803000004000500ffffffff10000500ffffffff20000000ffffffff',
  'hex',
);
const EVERY_BYTE = Buffer.from(Array.from({ length: 256 }, (_, at) => at));

function metadataEntries(): TarEntry[] {
  return [
    dir('usr/'),
    dir('usr/bin/'),
    symlink('bin', 'usr/bin'),
    file('usr/bin/su', content(1, 4000), { mode: 0o4755 }),
    file('usr/bin/wall', content(2, 700), { mode: 0o2755, gid: 5 }),
    file('usr/bin/every', content(3, 513), { mode: 0o7711, uid: 7, gid: 8 }),
    file('usr/bin/ping', content(4, 900), { mode: 0o755, xattrs: { 'security.capability': CAPABILITY } }),
    dir('tmp/', { mode: 0o1777 }),
    dir('xattr/', { xattrs: { 'user.dir': 'of a folder' } }),
    file('xattr/binary', 'x', {
      xattrs: { 'user.binary': EVERY_BYTE, 'user.empty': '', 'user.text': 'line\nline', 'user.long': content(5, 1500) },
    }),
    ...times(20, (at) =>
      file(`xattr/shared-${at}`, `${at}`, {
        xattrs: { 'user.shared': 'the same in many files', [`user.own${at}`]: `${at}` },
      }),
    ),
    file('xattr/trusted', 't', { xattrs: { 'trusted.note': 'kept', 'security.custom': 'kept' } }),
    file('xattr/acl', 'a', { mode: 0o750, xattrs: { 'system.posix_acl_access': ACL } }),
    dir('xattr/acl-dir/', { mode: 0o750, xattrs: { 'system.posix_acl_access': ACL, 'system.posix_acl_default': ACL } }),
    dir('dev/'),
    { name: 'dev/null', type: '3', mode: 0o666, device: [1, 3] },
    { name: 'dev/sda', type: '4', mode: 0o660, gid: 6, device: [8, 0] },
    { name: 'dev/nvme', type: '4', mode: 0o660, device: [259, 70_000] },
    { name: 'dev/pipe', type: '6', mode: 0o622 },
    dir('times/', { mtimeNs: 1n }),
    file('times/nanos', 'n', { mtimeNs: 1_700_000_000_123_456_789n }),
    file('times/short-decimals', 's', { records: [['mtime', '1700000000.5']] }),
    file('times/negative', 'n', { mtimeNs: -1_250_000_001n }),
    file('times/negative-gnu', 'n', { mtimeNs: -86_400_000_000_000n, format: 'gnu' }),
    file('times/zero', 'z', { mtimeNs: 0n }),
    file('times/far', 'f', { mtimeNs: 8_589_934_592_000_000_001n }),
    symlink('times/link', 'zero', { mtimeNs: 1_600_000_000_000_000_001n }),
    file('ids-pax', 'i', { uid: 3_000_000, gid: 4_000_000_000 }),
    file('ids-gnu', 'i', { uid: 2_097_152, gid: 4_294_967_294, format: 'gnu' }),
    dir('ids-dir/', { uid: 65_536, gid: 70_000, mode: 0o2770 }),
  ];
}

function nameEntries(): TarEntry[] {
  const nested = Array.from({ length: 5 }, (_, at) => long(250, 'abcde'[at] ?? 'z'));
  return [
    dir('names/'),
    file(latin1('names/caf\xe9'), 'latin1'),
    file(latin1('names/\xff\xfe\x80'), 'no text'),
    file('names/日本語-ß', 'utf-8'),
    file('names/line\nbreak "quoted" \\back\ttab ', 'odd'),
    file(`names/${long(250, 'n')}`, '250'),
    file(`names/${long(255, 'm')}`, '255'),
    file(`names/${long(240, 'g')}-gnu`, 'gnu long name', { format: 'gnu' }),
    ...nested.map((_, at) => dir(`names/${nested.slice(0, at + 1).join('/')}/`)),
    file(`names/${nested.join('/')}/leaf`, 'deep'),
    symlink('names/long-target', `/names/${nested.join('/')}/leaf`),
    symlink('names/gnu-target', `/${long(300, 'target/')}`, { format: 'gnu' }),
    symlink(latin1('names/raw-target'), latin1('caf\xe9')),
    dir('ustar-prefix/'),
    file('leaf', 'p', { patch: (header) => header.write('ustar-prefix', 345, 'latin1') }),
    file('/absolute/name', 'from the root'),
    file('../../escaped', 'stays inside'),
    file('dots/../undotted/./file', 'cleaned'),
    file('././prefixed', 'with dots'),
    file('names/.wh', 'no whiteout'),
    dir('empty/'),
    { name: 'v7-dir/', type: '\0', mode: 0o711, format: 'v7' },
    { name: 'v7-file', type: '\0', data: 'old', mode: 0o640, format: 'v7' },
    file('implicit/a/b/file', 'no folder above has an entry'),
    file('implicit/a/b2/file', 'sibling'),
  ];
}

function dataEntries(): TarEntry[] {
  return [
    dir('data/'),
    file('data/empty'),
    file('data/chunk', content(10, CHUNK_BYTES)),
    file('data/chunk-1', content(11, CHUNK_BYTES - 1)),
    file('data/chunk+1', content(12, CHUNK_BYTES + 1)),
    file('data/large', content(13, 5 * CHUNK_BYTES + 12_345)),
    file('data/zeros', Buffer.alloc(2 * CHUNK_BYTES)),
    file('data/block', content(14, 512)),
    file('data/block+1', content(15, 513)),
    file('data/page', content(16, 4096)),
    dir('many/'),
    ...times(1500, (at) => file(`many/${at}`, content(at, (at * 37) % 1400), { mode: 0o600 + (at % 64), uid: at % 7 })),
    dir('wide/'),
    ...times(300, (at) => dir(`wide/${at}/`)),
  ];
}

function linkEntries(): TarEntry[] {
  return [
    dir('links/'),
    file('links/a', content(20, 3000), {
      mode: 0o640,
      uid: 3,
      mtimeNs: 1_650_000_000_000_000_007n,
      xattrs: { 'user.of': 'all names' },
    }),
    link('links/b', 'links/a'),
    link('links/c', './links/b'),
    link('links/absolute', '/links/a'),
    symlink('links/s', 'a'),
    link('links/s-again', 'links/s'),
    file('links/kept', 'one name goes in the next layer'),
    link('links/kept-too', 'links/kept'),
    { name: 'links/pipe', type: '6', mode: 0o600 },
    link('links/pipe-again', 'links/pipe'),
    file('links/twice', 'first'),
    file('links/twice', 'second, the one that counts', { mode: 0o600 }),
    link('links/empty-again', 'data/empty'),
  ];
}

function lowerEntries(): TarEntry[] {
  const kinds = ['dfs', 'dsf', 'fds', 'fsd', 'sdf', 'sfd', 'dfd', 'fdf', 'sds', 'dds', 'ddf'];
  return [
    dir('wh/'),
    file('wh/file', 'goes'),
    dir('wh/dir/'),
    file('wh/dir/file', 'goes'),
    dir('wh/dir/sub/'),
    file('wh/dir/sub/file', 'goes'),
    file('wh/back', 'goes and comes back', { mode: 0o600 }),
    dir('wh/back-dir/'),
    file('wh/back-dir/old', 'must not show again'),
    file('wh/early', 'replaced before its whiteout'),
    dir('wh/early-dir/'),
    file('wh/early-dir/old', 'goes'),
    dir('opaque-early/'),
    dir('opaque-early/sub/', { mode: 0o700 }),
    file('opaque-early/sub/old', 'goes'),
    symlink('wh/link', '../wh-target'),
    file('wh-target', 'stays when the link to it goes'),
    file('wh/.kept', 'stays'),
    dir('opaque/'),
    file('opaque/lower', 'hidden'),
    dir('opaque/sub/', { mode: 0o700 }),
    file('opaque/sub/lower', 'hidden'),
    dir('opaque-twice/'),
    file('opaque-twice/one', 'hidden'),
    dir('through/'),
    dir('through/real/', { mode: 0o750 }),
    file('through/real/lower', 'l'),
    file('through/real/victim', 'goes by a whiteout below a link'),
    symlink('through/absolute', '/through/real'),
    symlink('through/relative', 'real'),
    symlink('through/escaping', '../../../../through/real'),
    symlink('through/chain', 'relative'),
    dir('update/', { mode: 0o755, xattrs: { 'user.lower': 'goes' } }),
    file('update/child', 'stays'),
    dir('replace/'),
    ...kinds.flatMap((kind) => stage(kind, 0)),
  ];
}

/** The entries that make `replace/<kind>` what its letter for this layer says. */
function stage(kind: string, layer: number): TarEntry[] {
  const name = `replace/${kind}`;
  switch (kind[layer]) {
    case 'd':
      return [
        dir(`${name}/`, { mode: 0o750 + layer }),
        file(`${name}/in-${layer}`, `child of layer ${layer}`),
        dir(`${name}/sub/`),
        file(`${name}/sub/in-${layer}`, 'deep'),
      ];
    case 'f':
      return [file(name, `file of layer ${layer}`, { mode: 0o640 + layer })];
    default:
      return [symlink(name, `target-of-layer-${layer}`)];
  }
}

/** Everything a single layer can hold. */
export function baseLayer(): Buffer {
  return tarStream([
    dir('./', { mode: 0o755 }),
    dir('./etc/'),
    file('./etc/passwd', 'root:x:0:0:root:/root:/bin/sh\n'),
    ...metadataEntries(),
    ...nameEntries(),
    ...dataEntries(),
    ...linkEntries(),
    ...lowerEntries(),
  ]);
}

const KINDS = ['dfs', 'dsf', 'fds', 'fsd', 'sdf', 'sfd', 'dfd', 'fdf', 'sds', 'dds', 'ddf'];

/** Removes, hides, replaces and adds to what the base has. */
export function changeLayer(): Buffer {
  return tarStream([
    dir('etc/', { mode: 0o700, mtimeNs: 1_700_000_000_000_000_001n }),
    dir('update/', { mode: 0o711, uid: 9, xattrs: { 'user.upper': 'is the only one now' } }),
    whiteout('wh/.wh.file'),
    whiteout('wh/.wh.dir'),
    whiteout('wh/.wh.link'),
    whiteout('wh/.wh.nothing-there'),
    whiteout('wh/.wh.back'),
    file('wh/back', 'new', { mode: 0o644 }),
    whiteout('wh/.wh.back-dir'),
    file('wh/early', 'a whiteout takes from lower layers only'),
    whiteout('wh/.wh.early'),
    dir('wh/early-dir/'),
    file('wh/early-dir/new', 'stays'),
    whiteout('wh/.wh.early-dir'),
    dir('opaque-early/'),
    dir('opaque-early/sub/', { mode: 0o711 }),
    file('opaque-early/sub/new', 'stays'),
    whiteout('opaque-early/.wh..wh..opq'),
    whiteout('implicit/a/.wh.b2'),
    dir('opaque/', { mode: 0o710 }),
    file('opaque/before', 'same layer, before the mark'),
    whiteout('opaque/.wh..wh..opq'),
    file('opaque/after', 'same layer, behind the mark'),
    dir('opaque/sub/'),
    file('opaque/sub/upper', 'shows'),
    dir('opaque-twice/'),
    whiteout('opaque-twice/.wh..wh..opq'),
    file('opaque-twice/two', 'hidden by the third layer'),
    dir('opaque-new/'),
    whiteout('opaque-new/.wh..wh..opq'),
    file('opaque-new/file', 'nothing below'),
    file('through/absolute/by-absolute', '1'),
    file('through/relative/by-relative', '2'),
    file('through/escaping/by-escaping', '3'),
    dir('through/chain/folder/', { mode: 0o701 }),
    file('through/chain/folder/by-chain', '4'),
    whiteout('through/relative/.wh.victim'),
    link('links/from-upper', 'links/a'),
    link('links/s-from-upper', 'links/s'),
    link('links/through', 'through/relative/lower'),
    whiteout('links/.wh.kept'),
    file('links/twice', 'replaced', { mode: 0o400 }),
    file('links/c', 'no longer a name of a'),
    file('data/page', content(30, 5000)),
    ...KINDS.flatMap((kind) => stage(kind, 1)),
  ]);
}

/** The third layer: second replacements, things that come back, and what is dropped on purpose. */
export function replaceLayer(): Buffer {
  return tarStream([
    file('wh/back-dir/new', 'its folder is implicit now'),
    link('links/kept-again', 'links/kept-too'),
    dir('opaque-twice/'),
    whiteout('opaque-twice/.wh..wh..opq'),
    file('opaque-twice/three', 'shows'),
    file('implicit/a/b/file', 'replaced'),
    ...KINDS.flatMap((kind) => stage(kind, 2)),
  ]);
}

/** Entries that would steer an overlay put on top; they are dropped when layers are merged (docs/semantics.md). */
export function overlayLayer(): Buffer {
  return tarStream([
    dir('overlay/', { xattrs: { 'trusted.overlay.opaque': 'y', 'user.kept': 'k' } }),
    file('overlay/file', 'f', { xattrs: { 'user.overlay.redirect': '/etc', 'user.kept': 'k' } }),
    { name: 'overlay/whiteout', type: '3', device: [0, 0] },
  ]);
}

const pieces = (count: number, step: number, length: number): SparseFile['stretches'] =>
  Array.from({ length: count }, (_, at) => [at * step, content(40 + at, length)] as const);

/** Files with holes, as pax sparse formats 0.0, 0.1 and 1.0 write them. */
export function sparsePaxLayer(): Buffer {
  const even: SparseFile['stretches'] = [...pieces(3, 65_536, 4096), [1_000_000, Buffer.alloc(0)]];
  const odd: SparseFile['stretches'] = [
    [100, content(50, 13)],
    [5000, content(51, 700)],
    [70_001, content(52, 1)],
  ];
  const files = (name: string): readonly SparseFile[] => [
    { name: `sparse/${name}-even`, sizeBytes: 1_000_000, stretches: even },
    { name: `sparse/${name}-odd`, sizeBytes: 80_000, stretches: odd },
    { name: `sparse/${name}-hole`, sizeBytes: 300_000, stretches: [[300_000, Buffer.alloc(0)]] },
    { name: `sparse/${name}-many`, sizeBytes: 200_000, stretches: pieces(60, 3000, 512) },
    { name: `sparse/${name}-late`, sizeBytes: 600_000, stretches: [[512_000, content(53, 88_000)]] },
  ];
  const attributes = { mode: 0o604, uid: 12, mtimeNs: 1_700_000_000_000_000_009n, xattrs: { 'user.sparse': 'yes' } };
  return tarStream([
    dir('sparse/'),
    ...files('0.0').map((sparse) => sparse00(sparse, attributes)),
    ...files('0.1').map((sparse) => sparse01(sparse, attributes)),
    ...files('1.0').map((sparse) => sparse10(sparse, attributes)),
  ]);
}

/**
 * What umoci refuses: a global header, and holes in GNU tar's own format, with and without blocks of further stretches.
 * GNU tar starts each stretch at a block, others do not: so only the last one has a length that is no whole blocks.
 */
export function sparseGnuLayer(): Buffer {
  const files: readonly SparseFile[] = [
    { name: 'sparse-gnu/few', sizeBytes: 100_000, stretches: [...pieces(3, 20_480, 512), [100_000, Buffer.alloc(0)]] },
    { name: 'sparse-gnu/many', sizeBytes: 400_000, stretches: [...pieces(60, 5120, 1024), [400_000, Buffer.alloc(0)]] },
    {
      name: 'sparse-gnu/odd',
      sizeBytes: 9999,
      stretches: [
        [1, content(60, 512)],
        [1111, content(61, 1024)],
        [9000, content(62, 999)],
      ],
    },
    { name: 'sparse-gnu/hole', sizeBytes: 70_000, stretches: [[70_000, Buffer.alloc(0)]] },
  ];
  return tarStream([
    paxEntry([['comment', 'a global header says nothing about files']], 'g'),
    dir('sparse-gnu/', { format: 'gnu' }),
    ...files.map((sparse) => sparseOldGnu(sparse, { mode: 0o640 })),
    file('sparse-gnu/plain', 'behind'),
  ]);
}
