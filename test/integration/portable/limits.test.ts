import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { LIMIT_NAMES, type LimitName } from '../../../src/config/index.ts';
import { commandError, commandJson } from '../../support/command-line.ts';
import {
  type Layout,
  type LayoutCodec,
  type Stored,
  sparse10,
  type TarEntry,
  tarStream,
  writeLayout,
} from '../../support/corpus/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const stack = new AsyncDisposableStack();
let dir = '';
let state = '';
beforeAll(async () => {
  dir = stack.use(await temporaryDirectory('limits')).path;
  state = join(dir, 'state');
});
afterAll(() => stack.disposeAsync());

const file = (name: string, more: Partial<TarEntry> = {}): TarEntry => ({ name, type: '0', data: 'x', ...more });
const attributes = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`user.${at}`, Buffer.alloc(50, 1)]));
const stretches = Array.from({ length: 4 }, (_, at) => [at * 2048, Buffer.alloc(100, at)] as const);
const zeros = tarStream([file('zeros', { data: Buffer.alloc(2 ** 20) })]);

interface Forged {
  readonly tar: Buffer;
  readonly flags: readonly string[];
  readonly codec?: LayoutCodec;
  readonly stored?: Stored;
}

/** A small layer over each limit, once that is lowered. */
const FORGED: Readonly<Record<LimitName, Forged>> = {
  entries: { tar: tarStream([file('a'), file('b'), file('c')]), flags: ['entries=2'] },
  'path-bytes': { tar: tarStream([file('folder/file')]), flags: ['path-bytes=10'] },
  'name-bytes': { tar: tarStream([file('a/eleven-byte')]), flags: ['name-bytes=10'] },
  depth: { tar: tarStream([file('a/b/c/d')]), flags: ['depth=3'] },
  'header-bytes': {
    tar: tarStream([file('f', { records: [['comment', 'c'.repeat(2000)]] })]),
    flags: ['header-bytes=1KiB'],
  },
  'sparse-extents': {
    tar: tarStream([sparse10({ name: 's', sizeBytes: 9000, stretches })]),
    flags: ['sparse-extents=3'],
  },
  'file-bytes': { tar: tarStream([file('f', { data: Buffer.alloc(1025) })]), flags: ['file-bytes=1KiB'] },
  'xattr-bytes': { tar: tarStream([file('f', { xattrs: attributes(1) })]), flags: ['xattr-bytes=49'] },
  'xattrs-bytes': { tar: tarStream([file('f', { xattrs: attributes(3) })]), flags: ['xattrs-bytes=150'] },
  'relocated-bytes': {
    tar: tarStream([sparse10({ name: 's', sizeBytes: 9000, stretches })]),
    flags: ['relocated-bytes=399'],
  },
  'plain-bytes': { tar: zeros, flags: ['plain-bytes=1MiB'] },
  ratio: { tar: zeros, codec: 'gzip', flags: ['ratio=100', 'ratio-free-bytes=64KiB'] },
  'ratio-free-bytes': { tar: zeros, codec: 'zstd', flags: ['ratio-free-bytes=64KiB', 'ratio=100'] },
  spans: {
    tar: zeros,
    codec: 'zstd',
    stored: {
      encode: (tar) => Buffer.concat([0, 1, 2].map((at) => zstdCompressSync(tar.subarray(...thirds(tar, at))))),
    },
    flags: ['spans=2'],
  },
  'window-bytes': { tar: zeros, codec: 'zstd', flags: ['window-bytes=64KiB'] },
};

function thirds(tar: Buffer, at: number): [start: number, end: number] {
  const third = Math.ceil(tar.length / 3);
  return [at * third, (at + 1) * third];
}

async function forged(name: LimitName): Promise<Layout> {
  const { codec = 'plain', stored, tar } = FORGED[name];
  return await writeLayout(join(dir, name), [tar], codec, stored);
}

const indexArguments = (layout: Layout, engine: string, output: string) => [
  ...['index', '--from', `oci:${layout.dir}`, '--storage-ref', '127.0.0.1:5000/images:limits', '--engine', engine],
  ...['--output', output, '--platform', 'linux/amd64'],
];

for (const engine of ['native', 'portable'] as const) {
  test.for(LIMIT_NAMES)(`${engine}: over limit %s is LIMIT_EXCEEDED, names it, and leaves nothing`, async (name) => {
    const output = join(dir, `${engine}-${name}.clip`);
    const args = indexArguments(await forged(name), engine, output);
    const { flags } = FORGED[name];
    const error = await commandError([...args, ...flags.flatMap((flag) => ['--limit', flag])], {
      CLIPYARD_STATE: state,
    });
    // the ratio and where it begins to count are one limit of two numbers
    const blamed = name === 'ratio-free-bytes' ? 'ratio' : name;
    expect(error).toMatchObject({ code: 'LIMIT_EXCEEDED', exitCode: 75, details: { name: blamed } });
    expect(error.message).toContain(`${blamed}=${error.details['limit']}; raise it with --limit ${blamed}=VALUE`);
    expect(error.message).toContain(`CLIPYARD_LIMIT_${blamed.toUpperCase().replaceAll('-', '_')}`);
    expect(existsSync(output)).toBe(false);
    expect(await readdir(join(state, 'tmp'))).toEqual([]);
    expect(await readdir(join(state, 'packs', 'tmp')).catch(() => [])).toEqual([]);
  });
}

test.for(['native', 'portable'] as const)('%s: a variable sets a limit, a flag goes before it', async (engine) => {
  const output = join(dir, `${engine}-variable.clip`);
  const args = [...indexArguments(await forged('entries'), engine, output), '--no-cache'];
  const env = { CLIPYARD_STATE: state, CLIPYARD_LIMIT_ENTRIES: '2' };
  expect(await commandError(args, env)).toMatchObject({
    code: 'LIMIT_EXCEEDED',
    details: { name: 'entries', limit: '2' },
  });
  expect(await commandJson([...args, '--limit', 'entries=3'], env)).toMatchObject({ archive: { entries: 4 } });
});

test('limits change no byte of an archive, and a cached index serves only under limits as wide as it was read', async () => {
  const layout = await forged('depth');
  const output = join(dir, 'cached.clip');
  const args = indexArguments(layout, 'native', output);
  const env = { CLIPYARD_STATE: join(dir, 'cached-state') };
  const wide = await commandJson<{ archive: { digest: string } }>(args, env);
  expect(await commandError([...args, '--limit', 'depth=3'], env)).toMatchObject({ code: 'LIMIT_EXCEEDED' });
  const narrow = await commandJson<{ archive: { digest: string } }>([...args, '--limit', 'depth=4'], env);
  expect(narrow).toMatchObject({ archive: { digest: wide.archive.digest }, layers: [{ cached: false }] });
  // what passed under narrow limits passes under wide ones
  expect(await commandJson(args, env)).toMatchObject({ layers: [{ cached: true }] });
});

test.for<[wrong: string, says: string]>([
  ['entries', 'write NAME=VALUE'],
  ['folders=3', 'the names are entries'],
  ['entries=many', 'is no limit'],
  ['entries=0', 'is no limit'],
  ['name-bytes=256', 'is more than 255'],
])('--limit %s is USAGE', async ([wrong, says]) => {
  const args = indexArguments(await forged('entries'), 'native', join(dir, 'usage.clip'));
  const error = await commandError([...args, '--limit', wrong], { CLIPYARD_STATE: state });
  expect(error).toMatchObject({ code: 'USAGE', exitCode: 64 });
  expect(error.message).toContain(says);
});
