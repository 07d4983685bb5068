import { expect, test } from 'vitest';
import { compareTrees, type TreeEntry } from '../../support/oracle/index.ts';

const ENTRY: TreeEntry = {
  type: 'file',
  mode: 0o4755,
  uid: 1,
  gid: 2,
  sizeBytes: 3,
  mtimeNs: 4n,
  links: 1,
  sameAs: '/f',
  target: '',
  device: 0n,
  xattrs: { 'user.a': '00' },
  sha256: 'abc',
};
const tree = (change: Partial<TreeEntry> = {}) => new Map([['/f', { ...ENTRY, ...change }]]);

test('equal trees have no differences', () => {
  expect(compareTrees(tree(), tree())).toEqual([]);
});

test.for<Partial<TreeEntry>>([
  { type: 'dir' },
  { mode: 0o755 },
  { uid: 9 },
  { gid: 9 },
  { sizeBytes: 9 },
  { mtimeNs: 5n },
  { links: 2 },
  { sameAs: '/e' },
  { target: 'x' },
  { device: 1n },
  { xattrs: {} },
  { xattrs: { 'user.a': '01' } },
  { sha256: 'abd' },
])('a difference of %o is seen', (change) => {
  expect(compareTrees(tree(), tree(change))).toHaveLength(1);
});

test('a path that one side lacks is seen on either side', () => {
  expect(compareTrees(tree(), new Map())).toEqual(['"/f": only left']);
  expect(compareTrees(new Map(), tree())).toEqual(['"/f": only right']);
});

test('only what was named is ignored', () => {
  const times = new Set(['/f']);
  expect(compareTrees(tree(), tree({ mtimeNs: 5n }), { times })).toEqual([]);
  expect(compareTrees(tree(), tree({ mtimeNs: 5n, uid: 9 }), { times })).toEqual(['"/f": uid 1 | 9']);
  expect(compareTrees(tree(), tree({ xattrs: { 'user.a': '00', 'user.b': '' } }), { xattrs: /b$/ })).toEqual([]);
  expect(compareTrees(tree(), tree({ sha256: '' }), { fields: ['sha256'] })).toEqual([]);
  expect(compareTrees(tree(), new Map(), { paths: times })).toEqual([]);
});
