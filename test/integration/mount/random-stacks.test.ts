import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { messageOf } from '../../../src/errors/index.ts';
import { commandJson } from '../../support/command-line.ts';
import { randomAttributeLayers, randomLayers, wideLayer } from '../../support/corpus/index.ts';
import { layoutOf } from '../../support/native/index.ts';
import { compareTrees, snapshotTree, type TreeSnapshot, umociUnpack } from '../../support/oracle/index.ts';
import { publishArchive } from '../../support/published-archive.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

/** Seeds 1 and on; `scripts/soak.sh` takes more. */
const STACKS = Number(process.env['CLIPYARD_RANDOM_STACKS'] ?? 4);
const WIDE_NAMES = Number(process.env['CLIPYARD_WIDE_NAMES'] ?? 5000);
const ENGINES = ['erofs', 'fuse'] as const;
const PACKINGS = [
  ['plain', 'zstd'],
  ['gzip', 'keep'],
  ['plain', 'gzip'],
  ['zstd', 'keep'],
] as const;

/** Has each engine mount an archive, over a cache of its own, and looks. */
async function withEachEngine(dir: string, archive: string, look: (root: string, engine: string) => Promise<void>) {
  for (const engine of ENGINES) {
    const root = join(dir, `mount-${engine}`);
    await mkdir(root);
    await commandJson(['mount', '--engine', engine, '--cache', join(dir, `cache-${engine}`), archive, root]);
    try {
      await look(root, engine);
    } finally {
      await commandJson(['umount', root]);
    }
  }
}

/** The tree that umoci unpacks, with the paths it touched itself; why not, where it refuses. */
async function unpacked(layout: string, dir: string): Promise<[TreeSnapshot, ReadonlySet<string>] | string> {
  const startNs = BigInt(Date.now()) * 1_000_000n;
  try {
    const tree = await snapshotTree(await umociUnpack(layout, dir));
    return [tree, new Set([...tree].filter(([, { mtimeNs }]) => mtimeNs >= startNs).map(([path]) => path))];
  } catch (thrown) {
    return messageOf(thrown);
  }
}

test('random stacks of layers, mounted by either engine, are the trees that umoci unpacks', async () => {
  const seen: number[] = [];
  for (let seed = 1; seen.length < STACKS; seed += 1) {
    await using directory = await temporaryDirectory('stacks');
    const dir = directory.path;
    const [source, codec] = PACKINGS[seed % PACKINGS.length] ?? PACKINGS[0];
    const tars = [...randomAttributeLayers(seed), ...randomLayers(seed)];
    const truth = await unpacked((await layoutOf(dir, tars, 'gzip')).dir, join(dir, 'bundle'));
    // What cannot be unpacked makes no archive either: test/integration/archive/random-layers.test.ts.
    if (typeof truth === 'string') continue;
    seen.push(seed);
    const [tree, times] = truth;
    const layout = await layoutOf(dir, tars, source);
    const { path } = await publishArchive(layout, { dir, codec, name: `stack-${seed}` });
    await withEachEngine(dir, path, async (root, engine) => {
      const shown = await snapshotTree(root);
      expect(compareTrees(tree, shown, { times }), `seed ${seed}, ${engine}, ${source} ${codec}`).toEqual([]);
    });
  }
}, 300_000);

test(`a folder of ${WIDE_NAMES} files is listed whole, and each is found`, async () => {
  await using directory = await temporaryDirectory('wide');
  const dir = directory.path;
  const layout = await layoutOf(dir, [wideLayer(WIDE_NAMES)]);
  const { path } = await publishArchive(layout, { dir, codec: 'zstd', name: 'wide' });
  await withEachEngine(dir, path, async (root, engine) => {
    const names = await readdir(join(root, 'wide'));
    expect(new Set(names).size, engine).toBe(WIDE_NAMES);
    expect(names).toHaveLength(WIDE_NAMES);
    for (let at = 0; at < WIDE_NAMES; at += 97)
      expect(await readFile(join(root, 'wide', `${at}`), 'utf8'), engine).toBe(`${at}`);
  });
}, 300_000);
