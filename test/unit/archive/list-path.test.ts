import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, describe as group, test } from 'vitest';
import {
  type ByteString,
  byteStringOfText,
  bytesSource,
  type ClipNode,
  displayOf,
  formatRows,
  listPath,
  modeText,
  nodeTree,
  openArchive,
  resolvePath,
} from '../../../src/archive/index.ts';
import { FIXTURES } from './sectioned.ts';

const { signal } = new AbortController();

function node(
  path: string,
  more: {
    mode?: number;
    target?: string;
    mtimeNanos?: number;
    deviceNumber?: number;
    links?: number;
    sizeBytes?: number;
  } = {},
): ClipNode {
  const { mode = 0o100644, target = '', mtimeNanos = 0, deviceNumber = 0, links = 1, sizeBytes = 0 } = more;
  const times = {
    atimeSeconds: 0,
    ctimeSeconds: 0,
    atimeNanos: 0,
    ctimeNanos: 0,
    mtimeSeconds: 1_700_000_000,
    mtimeNanos,
  };
  return {
    type: (mode & 0o170000) === 0o040000 ? 'dir' : target === '' ? 'file' : 'symlink',
    path: byteStringOfText(path),
    attributes: {
      inode: 1n,
      sizeBytes,
      blocks: 0,
      ...times,
      mode,
      links,
      owner: { uid: 1, gid: 20 },
      deviceNumber,
      blockBytes: 0,
    },
    target: byteStringOfText(target),
    contentHash: '',
    dataOffset: 0,
    dataBytes: 0,
    remote: undefined,
  };
}

const dir = (path: string) => node(path, { mode: 0o040755 });
const link = (path: string, target: string) => node(path, { mode: 0o120777, target });
const tree = nodeTree([
  dir('/'),
  link('/bin', 'usr/bin'),
  dir('/usr'),
  dir('/usr/bin'),
  node('/usr/bin/su', { mode: 0o104755, sizeBytes: 12_345 }),
  link('/usr/bin/up', '../../../../usr'),
  link('/absolute', '/usr/bin/'),
  link('/loop', 'loop/x'),
  link('/dangling', 'nothing'),
  node('/usr-file'),
  node('/größe', { mtimeNanos: 120_000_000 }),
  node('/null', { mode: 0o020666, deviceNumber: 0x103 }),
  node('/nvme', { mode: 0o060660, deviceNumber: (259 << 8) | (70_000 & 0xff) | ((70_000 & 0xfff00) << 12) }),
]);
const names = (path: string): readonly string[] => listPath(tree, byteStringOfText(path)).map(({ name }) => name);
const resolved = (path: string, followLast = true): string =>
  displayOf(resolvePath(tree, byteStringOfText(path), { followLast }).path);

group('listing a path', () => {
  test('a folder gives its entries by byte order', () => {
    expect(names('/')).toEqual(['absolute', 'bin', 'dangling', 'größe', 'loop', 'null', 'nvme', 'usr', 'usr-file']);
    expect(names('/usr/')).toEqual(['bin']);
    expect(names('usr/./bin/../bin')).toEqual(['su', 'up']);
  });

  test('a link at the end is shown itself, unless a slash asks for the folder', () => {
    expect(listPath(tree, byteStringOfText('/bin'))).toMatchObject([
      { name: 'bin', mode: 'lrwxrwxrwx', target: 'usr/bin' },
    ]);
    expect(names('/bin/')).toEqual(['su', 'up']);
  });

  test('a row has what ls -l shows', () => {
    expect(listPath(tree, byteStringOfText('/bin/su'))).toEqual([
      {
        name: 'su',
        mode: '-rwsr-xr-x',
        modeBits: 0o104755,
        links: 1,
        uid: 1,
        gid: 20,
        sizeBytes: 12_345,
        mtime: '2023-11-14T22:13:20Z',
      },
    ]);
    expect(listPath(tree, byteStringOfText('/größe'))).toMatchObject([{ mtime: '2023-11-14T22:13:20.12Z' }]);
    expect(listPath(tree, byteStringOfText('/nvme'))).toMatchObject([
      { mode: 'brw-rw----', device: { major: 259, minor: 70_000 } },
    ]);
    expect(formatRows(listPath(tree, byteStringOfText('/null')))).toEqual([
      'crw-rw-rw- 1 1 20 1,3 2023-11-14 22:13 null',
    ]);
  });

  test.for(['/nothing', '/usr/nothing/su', '/usr-file/x', '/usr-file/', '/loop', '/dangling/', '/loop/x'])(
    '%s is PATH_NOT_FOUND when it is followed',
    (path) => {
      expect(() => resolved(path)).toThrow(expect.objectContaining({ code: 'PATH_NOT_FOUND' }));
    },
  );

  test('links lead inside the root only', () => {
    expect(resolved('/bin/up/bin/su')).toBe('/usr/bin/su');
    expect(resolved('/absolute/su')).toBe('/usr/bin/su');
    expect(resolved('/../../bin/su')).toBe('/usr/bin/su');
    expect(resolved('/absolute')).toBe('/usr/bin');
    expect(resolved('/loop', false)).toBe('/loop');
  });

  test('of nodes with one path the last counts', () => {
    const twice = nodeTree([dir('/'), node('/f', { sizeBytes: 1 }), node('/f', { sizeBytes: 2 })]);
    expect(listPath(twice, '/' as ByteString)).toMatchObject([{ sizeBytes: 2 }]);
  });
});

test.for([
  [0o100644, '-rw-r--r--'],
  [0o104644, '-rwSr--r--'],
  [0o102751, '-rwxr-s--x'],
  [0o041777, 'drwxrwxrwt'],
  [0o041776, 'drwxrwxrwT'],
  [0o010600, 'prw-------'],
  [0o140755, 'srwxr-xr-x'],
] as const)('mode %o is %s', ([mode, shown]) => {
  expect(modeText(mode)).toBe(shown);
});

test('a folder of a stock archive is listed', async () => {
  const archive = await openArchive(bytesSource(await readFile(join(FIXTURES, 'sample/image.clip'))), { signal });
  const stock = nodeTree(await archive.nodes({ signal }));
  const rows = listPath(stock, '/' as ByteString);
  expect(rows.map(({ name }) => name)).toContain('big.txt');
  expect(rows.find(({ name }) => name === 'big.txt')).toMatchObject({ mode: '-rw-r--r--', uid: 1000, sizeBytes: 3400 });
});
