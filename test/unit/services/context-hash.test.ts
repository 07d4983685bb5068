import { chmod, link, mkdir, readdir, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openContext } from '../../../src/buildkit/index.ts';
import { hashService } from '../../../src/services/context/service-hash.ts';
import type { Service } from '../../../src/services/file/service.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const { signal } = new AbortController();
/** None: everything is read here (test/integration/services/file-readers.test.ts compares). */
const tools = { directories: [] };
const DIGESTS = ['a', 'b'].map((letter) => `sha256:${letter.repeat(64)}`) as [`sha256:${string}`, `sha256:${string}`];

function client(digest: string | Error = DIGESTS[0]) {
  return {
    headManifest: () =>
      digest instanceof Error
        ? Promise.reject(digest)
        : Promise.resolve(digest === 'absent' ? undefined : { mediaType: 'x', digest: digest as never, size: 1 }),
  };
}

async function makeContext(
  root: string,
  names: readonly string[] = ['a.py', 'lib/b.js', 'lib/deep/c'],
): Promise<string> {
  await mkdir(join(root, 'lib/deep'), { recursive: true, mode: 0o755 });
  await writeFile(join(root, 'Dockerfile'), 'ARG BASE=debian:12\nFROM $BASE\nCOPY . /app\n');
  await writeFile(join(root, '.dockerignore'), '*.log\r\n# no\r\nnode_modules\n!keep.log\n');
  for (const name of names) await writeFile(join(root, name), `content of ${name}`, { mode: 0o644 });
  await symlink('a.py', join(root, 'link'));
  return root;
}

const service = (contextDir: string, more: Partial<Service> = {}): Service => ({
  name: 'api',
  image: { registry: 'r.example', repository: 'o/r/api' },
  imageId: 'r.api',
  contextDir,
  dockerfile: undefined,
  args: { A: '1' },
  target: undefined,
  platforms: ['linux/amd64', 'linux/arm64'],
  ...more,
});

test('a context of more than a build may send is refused as a build refuses it', async () => {
  await using directory = await temporaryDirectory();
  const root = await makeContext(join(directory.path, 'one'));
  const limits = (more: object) => openContext({ contextDir: root, limits: { ...more } });
  const count = async (more: object) => [...(await limits(more)).entries()].length;
  expect(await count({ maxEntries: 8 })).toBe(8);
  await expect(count({ maxEntries: 7 })).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
  await expect(count({ maxBytes: 100 })).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
});

describe('R003-22, R003-24, C12: the context hash', () => {
  test.for<[what: string, change: (root: string) => Promise<unknown>]>([
    ['times', (root) => utimes(join(root, 'a.py'), 1, 1)],
    ['an ignored file', (root) => writeFile(join(root, 'x.log'), 'x')],
    ['an ignored folder', (root) => mkdir(join(root, 'node_modules/x'), { recursive: true })],
    ['the inode', (root) => rewritten(join(root, 'a.py'), 'content of a.py')],
    ['a hard link instead of a copy', (root) => hardLinked(root)],
  ])('D36: %s does not count', async ([, change]) => {
    await using directory = await temporaryDirectory();
    const root = await makeContext(join(directory.path, 'one'));
    await writeFile(join(root, 'copy'), 'content of a.py', { mode: 0o644 });
    const options = { client: client(), cacheDir: join(directory.path, 'cache'), tools, signal };
    const before = await hashService(service(root), options);
    await change(root);
    expect((await hashService(service(root), options)).digest).toBe(before.digest);
  });

  test('D36: place, order of creation, order of args and of platforms do not count', async () => {
    await using directory = await temporaryDirectory();
    const options = { client: client(), cacheDir: join(directory.path, 'cache'), tools, signal };
    const one = await makeContext(join(directory.path, 'one'));
    const two = await makeContext(join(directory.path, 'deeper/two'), ['lib/deep/c', 'lib/b.js', 'a.py']);
    expect(await readdir(two)).toHaveLength((await readdir(one)).length);
    const left = await hashService(service(one, { args: { A: '1', B: '2' } }), options);
    const right = await hashService(
      service(two, { args: { B: '2', A: '1' }, platforms: ['linux/arm64', 'linux/amd64'] }),
      options,
    );
    expect(right.digest).toBe(left.digest);
  });

  test.for<[what: string, change: (root: string) => Promise<unknown>]>([
    ['content of the same length', (root) => writeFile(join(root, 'a.py'), 'CONTENT of a.py')],
    ['a line end', (root) => writeFile(join(root, 'Dockerfile'), 'ARG BASE=debian:12\r\nFROM $BASE\nCOPY . /app\n')],
    ['the mode', (root) => chmod(join(root, 'a.py'), 0o755)],
    ['the mode of a folder', (root) => chmod(join(root, 'lib'), 0o700)],
    ['a new file', (root) => writeFile(join(root, 'lib/new'), '')],
    ['a new folder', (root) => mkdir(join(root, 'lib/empty'))],
    ['a file gone', (root) => rm(join(root, 'lib/b.js'))],
    ['another name', (root) => rename(join(root, 'a.py'), join(root, 'b.py'))],
    [
      'where a link leads',
      async (root) => {
        await rm(join(root, 'link'));
        await symlink('lib/b.js', join(root, 'link'));
      },
    ],
    ['a file instead of a link', (root) => rewritten(join(root, 'link'), 'a.py')],
    ['a file that the ignore file takes back', (root) => writeFile(join(root, 'keep.log'), '')],
  ])('D36: %s counts', async ([, change]) => {
    await using directory = await temporaryDirectory();
    const root = await makeContext(join(directory.path, 'one'));
    const options = { client: client(), cacheDir: join(directory.path, 'cache'), tools, signal };
    const before = await hashService(service(root), options);
    await change(root);
    expect((await hashService(service(root), options)).digest).not.toBe(before.digest);
  });

  test('D36: args, target, platforms and the digests of bases count', async () => {
    await using directory = await temporaryDirectory();
    const root = await makeContext(join(directory.path, 'one'));
    const options = { client: client(), cacheDir: join(directory.path, 'cache'), tools, signal };
    const hashes = [
      await hashService(service(root), options),
      await hashService(service(root, { args: { A: '2' } }), options),
      await hashService(service(root, { args: { A: '1', BASE: 'debian:13' } }), options),
      await hashService(service(root, { target: 'base' }), options),
      await hashService(service(root, { platforms: ['linux/amd64'] }), options),
      await hashService(service(root), { ...options, client: client(DIGESTS[1]) }),
      await hashService(service(root), { ...options, client: client('absent') }),
    ];
    expect(new Set(hashes.map(({ digest }) => digest)).size).toBe(hashes.length);
    expect(hashes.at(-1)?.unknownBases).toEqual(['debian:12: the registry has none']);
  });

  test('a base that cannot be looked up is told, and fails nothing', async () => {
    await using directory = await temporaryDirectory();
    const root = await makeContext(join(directory.path, 'one'));
    const options = { client: client(new Error('429')), cacheDir: join(directory.path, 'cache'), tools, signal };
    expect((await hashService(service(root), options)).unknownBases[0]).toMatch(/^debian:12: .*429/);
  });

  test('R003-43: a folder that is missing is named', async () => {
    const options = { client: client(), cacheDir: '/nonexistent/cache', tools, signal };
    await expect(hashService(service('/nonexistent/milou/backend'), options)).rejects.toMatchObject({
      code: 'CONTEXT_NOT_FOUND',
      message: expect.stringContaining('/nonexistent/milou/backend') as string,
    });
  });

  test('R003-25: stats alone tell files that did not change; they are read once', async () => {
    await using directory = await temporaryDirectory();
    const root = await makeContext(join(directory.path, 'one'));
    const cacheDir = join(directory.path, 'cache');
    const options = { client: client(), cacheDir, tools, signal };
    const first = await hashService(service(root), options);
    expect(first.filesRead).toBe(5);
    // Written a moment ago: their times may not tell another write, so they are read again.
    expect((await hashService(service(root), options)).filesRead).toBe(5);
  });

  test('D36: the same context has the same hash in every release', async () => {
    await using directory = await temporaryDirectory();
    const root = await makeContext(join(directory.path, 'one'));
    await link(join(root, 'a.py'), join(root, 'z.py'));
    for (const name of ['Dockerfile', '.dockerignore']) await chmod(join(root, name), 0o644);
    for (const name of ['lib', 'lib/deep']) await chmod(join(root, name), 0o755);
    const options = { client: client(), cacheDir: join(directory.path, 'cache'), tools, signal };
    // Another value rebuilds every image of every team: VERSION of context/context-hash.ts says so.
    expect((await hashService(service(root), options)).digest).toBe(
      'sha256:ae07a22254fddb5121ef2449f7d32e834afe0d9143e2d46b9af400099d08a802',
    );
  });

  test('a damaged cache is an empty one', async () => {
    await using directory = await temporaryDirectory();
    const root = await makeContext(join(directory.path, 'one'));
    const cacheDir = join(directory.path, 'cache');
    const options = { client: client(), cacheDir, tools, signal };
    const first = await hashService(service(root), options);
    await mkdir(cacheDir, { recursive: true });
    for (const name of await readdir(cacheDir)) await writeFile(join(cacheDir, name), '{"version":1,"files":[');
    expect((await hashService(service(root), options)).digest).toBe(first.digest);
  });
});

async function rewritten(path: string, content: string): Promise<void> {
  await rm(path);
  await writeFile(path, content, { mode: 0o644 });
}

async function hardLinked(root: string): Promise<void> {
  await rm(join(root, 'copy'));
  await link(join(root, 'a.py'), join(root, 'copy'));
}
