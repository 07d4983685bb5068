import { sparse10 } from './sparse.ts';
import { type TarEntry, tarStream } from './tar-entry.ts';

/** cap_net_raw+ep, as VFS_CAP_REVISION_2 stores it. */
const CAPABILITY = Buffer.from('0100000200200000000000000000000000000000', 'hex');
const ODD_NAMES = [
  'sp ace',
  'new\nline',
  'tab\t',
  'quote"',
  "apostrophe'",
  'back\\slash',
  'ünï',
  '-rf',
  '*',
  'n'.repeat(255),
];

/**
 * Two layers of what entries have besides names and bytes: attributes, capabilities, devices, fifos, links in groups, holes, odd names,
 * and in the second one whiteouts and opaque folders over the first. The same for a seed each time; all of it can be unpacked.
 */
export function randomAttributeLayers(seed: number): readonly Buffer[] {
  const numbers = series(seed);
  const next = (below: number): number => numbers.next().value % below;
  const entries = Array.from({ length: 40 }, (_, at) => randomEntry(`x/${at % 5}/${oddName(next)}${at}`, next));
  const links = Array.from(
    { length: 6 },
    (_, at): TarEntry => ({ name: `x/link-${at}`, type: '1', linkName: 'x/target' }),
  );
  const lower: (TarEntry | Buffer)[] = [
    { name: 'x/', type: '5', mode: 0o1777 },
    ...[0, 1, 2, 3, 4].map(
      (at): TarEntry => ({ name: `x/${at}/`, type: '5', mode: 0o755, xattrs: { 'user.at': `${at}` } }),
    ),
    { name: 'x/target', type: '0', data: `target ${seed}`, mode: 0o4750 },
    ...links,
    ...entries,
  ];
  const upper: TarEntry[] = [
    { name: `x/${next(5)}/.wh..wh..opq`, type: '0' },
    { name: `x/.wh.${next(5)}`, type: '0' },
    { name: `x/.wh.link-${next(6)}`, type: '0' },
    { name: `x/link-${next(6)}`, type: '0', data: 'replaced' },
  ];
  return [tarStream(lower), tarStream(upper)];
}

function oddName(next: (below: number) => number): string {
  return (ODD_NAMES[next(ODD_NAMES.length)] ?? '').slice(0, 250);
}

function randomEntry(name: string, next: (below: number) => number): TarEntry | Buffer {
  const mtimeNs = 1_600_000_000_000_000_000n + BigInt(next(2 ** 31));
  const common = { name, mode: next(0o10000), uid: next(70_000), gid: next(70_000), mtimeNs };
  const data = Buffer.alloc(next(20_000), `${name.length} ${next(1000)} `);
  switch (next(8)) {
    case 0:
      return { ...common, type: '3', device: [next(255) + 1, next(70_000)] };
    case 1:
      return { ...common, type: '4', device: [next(255) + 1, next(70_000)] };
    case 2:
      return { ...common, type: '6' };
    case 3:
      return { ...common, type: '2', linkName: `${'y/'.repeat(next(100))}z`, mode: 0o777 };
    case 4: {
      const stretches = [1, 3, 9].map((at) => [at * 65_536, Buffer.alloc(4096, `${at}`)] as const);
      return sparse10({ name, sizeBytes: 1_000_000 + next(1000), stretches }, { mtimeNs });
    }
    case 5:
      return { ...common, type: '0', data, mode: 0o755, xattrs: { 'security.capability': CAPABILITY } };
    case 6:
      return { ...common, type: '0', data, xattrs: { 'user.a': 'x'.repeat(next(600)), 'user.b': '\u0001' } };
    default:
      return { ...common, type: '0', data };
  }
}

/** One folder with so many files. */
export function wideLayer(names: number): Buffer {
  const files = Array.from({ length: names }, (_, at): TarEntry => ({ name: `wide/${at}`, type: '0', data: `${at}` }));
  return tarStream([{ name: 'wide/', type: '5', mode: 0o755 }, ...files]);
}

/** Numerical Recipes, "ranqd1"; the upper bits, which are the better ones. */
function* series(seed: number): Generator<number, never> {
  for (let state = seed >>> 0; ; ) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield state >>> 1;
  }
}
