import { type TarEntry, tarStream } from './tar-entry.ts';

/** 0 to `below` - 1, the same series for a seed each time. */
type Random = (below: number) => number;

function randomOf(seed: number): Random {
  let state = Math.imul(seed, 2_654_435_761) >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % below;
  };
}

const NAMES = ['a', 'b', 'c', 'd'] as const;
type Known = 'dir' | 'file' | 'symlink';

/**
 * Three layers over few names, so that entries meet: replacements, links of both kinds, whiteouts before and behind what
 * they name, opaque folders, children below links. Some cannot be unpacked (a link to what is gone); tools must agree on
 * that too.
 */
export function randomLayers(seed: number): readonly Buffer[] {
  const random = randomOf(seed);
  const tree = new RoughTree(random);
  return [0, 1, 2].map((layer) => {
    tree.startLayer();
    const entries = Array.from({ length: 6 + random(12) }, (_, at) => {
      const mtimeNs = 1_700_000_000_000_000_000n + BigInt(layer * 100 + at);
      return { mtimeNs, uid: random(4), ...randomEntry(random, tree, `layer ${layer} entry ${at}`) };
    });
    return tarStream(entries);
  });
}

function randomEntry(random: Random, tree: RoughTree, data: string): TarEntry {
  const name = tree.somewhere();
  const mode = 0o600 + random(64);
  const kind = random(24);
  if (kind < 7) return tree.put('dir', { name, type: '5', mode: 0o700 + random(64) });
  if (kind < 8) return tree.put('file', { name: `${name}/${NAMES[random(4)] ?? 'a'}`, type: '0', data, mode });
  if (kind < 13) return tree.put('file', { name, type: '0', data, mode });
  if (kind < 16)
    return tree.put('symlink', { name, type: '2', linkName: randomTarget(random, tree, name), mode: 0o777 });
  const file = tree.pick(tree.paths('file').filter((path) => path !== name));
  if (kind < 18 && file !== undefined) return tree.put('file', { name, type: '1', linkName: file });
  const lower = tree.pick(tree.lowerPaths());
  if (kind < 22 && lower !== undefined) return tree.remove(lower);
  const folder = tree.pick(tree.lowerPaths().filter((path) => tree.isDir(path)));
  if (kind < 23 && folder !== undefined) return tree.hideBelow(folder);
  return tree.put('file', { name, type: '6', mode });
}

function randomTarget(random: Random, tree: RoughTree, name: string): string {
  const folder = tree.pick(tree.paths('dir')) ?? '';
  const up = '../'.repeat(name.split('/').length - 1);
  return [`/${folder}`, `${up}${folder}`, `../../../../${folder}`, NAMES[random(4)], '.'][random(5)] || '.';
}

/** What the layers so far amount to, roughly: only so that entries name what is likely to be there. */
class RoughTree {
  readonly #random: Random;
  readonly #known = new Map<string, Known>([['', 'dir']]);
  #lower: readonly string[] = [];
  #own = new Set<string>();

  constructor(random: Random) {
    this.#random = random;
  }

  startLayer(): void {
    this.#lower = [...this.#known.keys()].filter((path) => path !== '');
    this.#own = new Set();
  }

  pick(paths: readonly string[]): string | undefined {
    return paths.length === 0 ? undefined : paths[this.#random(paths.length)];
  }

  paths(kind: Known): readonly string[] {
    return [...this.#known].filter(([, known]) => known === kind).map(([path]) => path);
  }

  lowerPaths(): readonly string[] {
    return this.#lower;
  }

  isDir(path: string): boolean {
    return this.#known.get(path) === 'dir';
  }

  /** A name in a folder that is there, now and then behind a link. */
  somewhere(): string {
    const links = this.#random(5) === 0 ? this.paths('symlink') : [];
    const parent = this.pick([...this.paths('dir'), ...links]) ?? '';
    const name = NAMES[this.#random(4)] ?? 'a';
    return parent === '' || parent.split('/').length > 3 ? name : `${parent}/${name}`;
  }

  put(kind: Known, entry: TarEntry & { readonly name: string }): TarEntry {
    if (kind !== 'dir' || !this.isDir(entry.name)) this.#drop(entry.name);
    this.#known.set(entry.name, kind);
    this.#own.add(entry.name);
    return kind === 'dir' ? { ...entry, name: `${entry.name}/` } : entry;
  }

  remove(path: string): TarEntry {
    if (!this.#hasOwn(path)) this.#drop(path);
    const split = path.lastIndexOf('/') + 1;
    return { name: `${path.slice(0, split)}.wh.${path.slice(split)}`, type: '0' };
  }

  hideBelow(path: string): TarEntry {
    for (const known of [...this.#known.keys()]) {
      if (known.startsWith(`${path}/`) && !this.#hasOwn(known)) this.#known.delete(known);
    }
    return { name: `${path}/.wh..wh..opq`, type: '0' };
  }

  #hasOwn(path: string): boolean {
    return [...this.#own].some((own) => own === path || own.startsWith(`${path}/`));
  }

  #drop(path: string): void {
    for (const known of [...this.#known.keys()]) {
      if (known === path || known.startsWith(`${path}/`)) this.#known.delete(known);
    }
  }
}
