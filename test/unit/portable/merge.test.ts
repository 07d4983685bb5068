import { expect, test } from 'vitest';
import { DEFAULT_LIMITS } from '../../../src/config/index.ts';
import { applyEntry } from '../../../src/portable/merge/apply.ts';
import { listTree } from '../../../src/portable/merge/merged-image.ts';
import { Tree } from '../../../src/portable/merge/tree.ts';
import { TarWalker } from '../../../src/portable/tar/tar-walker.ts';
import { type TarEntry, tarStream } from '../../support/corpus/index.ts';

const dir = (name: string, mode = 0o755): TarEntry => ({ name, type: '5', mode });
const file = (name: string, data = ''): TarEntry => ({ name, type: '0', data });
const symlink = (name: string, linkName: string): TarEntry => ({ name, type: '2', linkName });
const link = (name: string, linkName: string): TarEntry => ({ name, type: '1', linkName });

/** The names of the merged tree, with what tells one from another. */
function merged(...layers: readonly (readonly TarEntry[])[]): readonly string[] {
  const tree = new Tree();
  layers.forEach((entries, at) => {
    const walker = new TarWalker(DEFAULT_LIMITS, 4096);
    walker.feed(tarStream(entries));
    for (const entry of walker.entries) applyEntry(tree, entry, { layer: at + 1, data: at });
  });
  return listTree(tree).names.map(({ node, path }) => {
    const { body, attributes } = node;
    if (body.type === 'file') return `${path} ${body.layer}:${body.sizeBytes}`;
    return body.type === 'directory' ? `${path} ${attributes.permissions.toString(8)}` : `${path} ${body.type}`;
  });
}

test.for<[title: string, layers: readonly (readonly TarEntry[])[], names: readonly string[]]>([
  [
    'names are in byte order of whole paths',
    [[file('a/x'), file('a.b'), file('a-')]],
    ['/ 755', '/a 755', '/a- 0:0', '/a.b 0:0', '/a/x 0:0'],
  ],
  [
    'a whiteout takes what lower layers have',
    [[file('d/a'), file('d/b')], [file('d/.wh.a')]],
    ['/ 755', '/d 755', '/d/b 0:0'],
  ],
  ['and spares what its own layer made', [[file('a', 'x')], [file('a', 'yy'), file('.wh.a')]], ['/ 755', '/a 1:2']],
  [
    'an opaque mark hides the lower names of its folder',
    [
      [file('d/a'), file('d/s/b')],
      [file('d/.wh..wh..opq'), file('d/c')],
    ],
    ['/ 755', '/d 755', '/d/c 1:0'],
  ],
  [
    'a folder over a folder keeps the names',
    [[dir('d/', 0o700), file('d/a')], [dir('d/', 0o711)]],
    ['/ 755', '/d 711', '/d/a 0:0'],
  ],
  ['a file over a folder takes its place', [[dir('d/'), file('d/a')], [file('d', 'x')]], ['/ 755', '/d 1:1']],
  [
    'an entry below a link goes where it leads',
    [[dir('real/'), symlink('l', '../../real')], [file('l/a')]],
    ['/ 755', '/l symlink', '/real 755', '/real/a 1:0'],
  ],
  [
    'a missing way is made, below setgid with its bit',
    [[dir('g/', 0o2770)], [file('g/x/y')]],
    ['/ 755', '/g 2770', '/g/x 2755', '/g/x/y 1:0'],
  ],
  [
    'a hard link is the same file',
    [[file('a', 'abc')], [link('b', 'a'), file('a', 'z')]],
    ['/ 755', '/a 1:1', '/b 0:3'],
  ],
  [
    'a device 0:0 hides what was there and is not there',
    [[file('a')], [{ name: 'a', type: '3', device: [0, 0] }]],
    ['/ 755'],
  ],
])('%s', ([, layers, names]) => {
  expect(merged(...layers)).toEqual(names);
});

test.for<[title: string, code: string, entries: readonly TarEntry[]]>([
  ['an entry below a file', 'LAYER_PATH_INVALID', [file('a'), file('a/b')]],
  ['a link in a ring', 'LAYER_PATH_INVALID', [symlink('a', 'a'), file('a/b')]],
  ['a whiteout of no name', 'LAYER_PATH_INVALID', [file('.wh.')]],
  ['a hard link to nothing', 'LAYER_CORRUPT', [link('a', 'b')]],
  ['a hard link to a folder', 'LAYER_CORRUPT', [dir('b/'), link('a', 'b')]],
  ['a hard link to itself', 'LAYER_CORRUPT', [file('a'), link('a', 'a')]],
])('%s is %s', ([, code, entries]) => {
  expect(() => merged(entries)).toThrow(expect.objectContaining({ code }) as Error);
});
