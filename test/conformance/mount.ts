import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compareTrees, snapshotTree, type TreeSnapshot } from '../support/oracle/index.ts';

const run = promisify(execFile);
const NOBODY = 65_534;
const PROBE = join(import.meta.dirname, '../support/mount/probe.py');

/** What a tree is held against. */
export interface ExpectedTree {
  readonly tree: TreeSnapshot;
  /** Paths whose time is that of the unpacking. */
  readonly touched: ReadonlySet<string>;
}

export interface OpenTree extends AsyncDisposable {
  readonly root: string;
}

interface Probe extends Readonly<Record<string, unknown>> {
  readonly holes: { readonly data: readonly (readonly [number, number])[] };
  readonly statfs: { readonly block: number; readonly blocks: number; readonly nameMax: number };
}

/**
 * What every tree of the conformance image promises, whatever shows it: an engine over an archive of any kind, or a plain
 * unpack, which is the control: what fails there is wrong in the suite.
 */
export function describeMount(
  name: string,
  {
    expected,
    open,
    sparse,
    ownDisk,
    direct,
    attributes,
  }: {
    readonly expected: () => ExpectedTree;
    readonly open: () => Promise<OpenTree>;
    readonly sparse: boolean;
    /** The tree lies on the disk itself. */
    readonly ownDisk: boolean;
    /** Files open with O_DIRECT. */
    readonly direct: boolean;
    /** Extended attributes are there. */
    readonly attributes: boolean;
  },
): void {
  describe(`a tree (${name})`, () => {
    let opened: OpenTree;
    let probe: Probe;
    const at = (path: string): string => join(opened.root, path);

    beforeAll(async () => {
      opened = await open();
      const { stdout } = await run('python3', [PROBE, opened.root, 'data/large', 'sparse/1.0-even', 'many']);
      probe = JSON.parse(stdout) as Probe;
    });
    afterAll(() => opened[Symbol.asyncDispose]());

    test('has every field, attribute, link group, device and byte', async () => {
      const { touched, tree } = expected();
      const shown = await snapshotTree(opened.root);
      expect(compareTrees(tree, shown, { times: touched })).toEqual([]);
      expect(shown.size).toBeGreaterThan(1900);
    });

    test('counts sub-folders as links', async () => {
      for (const path of ['wide', 'many', 'links', 'names']) {
        const names = await readdir(at(path), { withFileTypes: true });
        expect((await lstat(at(path))).nlink, path).toBe(2 + names.filter((entry) => entry.isDirectory()).length);
      }
    });

    test('gives the same bytes by read, mmap, sendfile and splice, and by O_DIRECT and copy_file_range or not at all', () => {
      const sha256 = expected().tree.get('/data/large')?.sha256;
      for (const way of ['read', 'shared', 'private', 'sendfile', 'splice']) expect(probe[way], way).toBe(sha256);
      expect(probe['pastEnd']).toBe(0);
      // A layer goes on behind a file with other bytes; a mapping of its last page does not show them.
      const zeros = { some: true, zeros: true };
      expect(probe['tails']).toEqual([zeros, zeros]);
      expect(probe['written']).toBe(true);
      // Refused by the kernel, or right: never another byte. copy_file_range leaves one kind of filesystem for no other.
      expect([probe['direct'], probe['copyFileRange']]).toEqual([
        direct ? sha256 : 'Invalid argument',
        ownDisk ? sha256 : 'Invalid cross-device link',
      ]);
    });

    test('has zeros in holes, and holes where the layer has them', () => {
      expect(probe.holes).toMatchObject({ zeros: true, ordered: true });
      // An unpacker may write zeros out; what was packed with holes keeps them in a mount.
      if (sparse)
        expect(probe.holes.data).toEqual([
          [0, 4096],
          [65_536, 69_632],
          [131_072, 135_168],
        ]);
    });

    test('lists a folder in one order, with small buffers and from any position', () => {
      expect(probe['listing']).toMatchObject({ names: 1500, unique: true, small: true, sought: true });
      // The order is a function of the names alone: the same in every mount, engine and archive. A disk hashes them.
      if (!ownDisk) expect(probe['listing']).toHaveProperty('sorted', true);
    });

    test('opens by handle, knows what is not there, and has a sane statfs', () => {
      expect(probe['handle']).toBe(true);
      expect(probe['missing']).toEqual(['No such file or directory', 'No such file or directory']);
      expect(probe['tooLong']).toBe('File name too long');
      expect(probe['notFolder']).toBe('Not a directory');
      expect(probe.statfs.nameMax).toBe(255);
      expect(probe.statfs.block).toBeGreaterThanOrEqual(512);
      expect(probe.statfs.blocks).toBeGreaterThan(0);
      if (!ownDisk) expect(probe.statfs).toMatchObject({ free: 0, readOnly: true });
    });

    test.for(['static', 'dynamic'])('runs a %s program', async (kind) => {
      const { stdout } = await run(
        at(`program/${kind === 'static' ? 'busybox' : 'dynamic'}`),
        kind === 'static' ? ['echo', 'ran'] : ['ran'],
      );
      expect(stdout).toBe('ran\n');
    });

    /** Runs a program as a user that owns nothing. */
    const asNobody = (user: number, ...command: readonly string[]) =>
      run('setpriv', [`--reuid=${user}`, '--regid=65534', '--clear-groups', ...command]).then(
        ({ stdout }) => stdout,
        () => 'refused',
      );

    test('runs a set-user-id program as its owner, and one with a capability with that', async () => {
      expect(await asNobody(NOBODY, at('program/id'), '-u')).toBe(`${NOBODY}\n`);
      expect(await asNobody(NOBODY, at('program/setuid'), '-u')).toBe('0\n');
      expect(await asNobody(NOBODY, at('program/cat'), at('program/secret'))).toBe('refused');
      expect(await asNobody(NOBODY, at('program/capable'), at('program/secret'))).toBe(
        attributes ? 'secret' : 'refused',
      );
    });

    test('lets in whom an access control list names', async () => {
      const listed = attributes ? 'listed' : 'refused';
      expect(await asNobody(NOBODY, at('program/cat'), at('program/listed'))).toBe(listed);
      expect(await asNobody(NOBODY - 1, at('program/cat'), at('program/listed'))).toBe('refused');
    });

    test('serves many readers of one file at once', async () => {
      const sha256 = expected().tree.get('/data/large')?.sha256;
      const readers = Array.from({ length: 8 }, () => hashOf(at('data/large')));
      expect(new Set(await Promise.all(readers))).toEqual(new Set([sha256]));
    });
  });
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
