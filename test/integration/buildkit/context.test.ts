import { execFile } from 'node:child_process';
import { chmod, link, mkdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { BuildkitClient } from '../../../src/buildkit/index.ts';
import { BASE, build, connect, failureOf, fresh, sentOf, syncsOf, Workplace } from './harness.ts';

const run = promisify(execFile);
let client: BuildkitClient;
let place: Workplace;

beforeAll(async () => {
  client = await connect();
});
afterAll(async () => {
  await client[Symbol.asyncDispose]();
});
beforeEach(async () => {
  place = await Workplace.open();
});
afterEach(async () => {
  await place[Symbol.asyncDispose]();
});

describe('what is sent', () => {
  test('only what COPY names, not the rest of the context', async () => {
    const contextDir = await place.context({
      Dockerfile: 'FROM scratch\nCOPY wanted/ /\nCOPY one.txt /\n',
      'wanted/a': 'x'.repeat(1000),
      'one.txt': 'y'.repeat(100),
      'not-wanted': 'z'.repeat(1_000_000),
    });
    const { events } = await build(client, place, { contextDir });
    expect(sentOf(events)).toEqual({ files: 2, bytes: 1100 });
  });

  test('the probe for a .dockerignore sends nothing else', async () => {
    const contextDir = await place.context({ Dockerfile: 'FROM scratch\nCOPY a /\n', a: 'x' });
    const { events } = await build(client, place, { contextDir });
    expect(syncsOf(events, 'context').map(({ entries }) => entries)).toEqual([0, 1]);
  });

  test('nothing that .dockerignore leaves out', async () => {
    const contextDir = await place.context({
      Dockerfile: 'FROM scratch\nCOPY . /\n',
      '.dockerignore': '# comment\nbusybox\nDockerfile\n.dockerignore\n**/*.log\n/build\nkeep/*\n!keep/this\n',
      'a.txt': 'a',
      'x.log': 'no',
      'deep/er/y.log': 'no',
      'deep/er/z.txt': 'z',
      'build/out': 'no',
      'keep/this': 'yes',
      'keep/that': 'no',
    });
    const { events, image } = await build(client, place, { contextDir });
    expect(await image.layerNames()).toEqual(['a.txt', 'deep/', 'deep/er/', 'deep/er/z.txt', 'keep/', 'keep/this']);
    const last = syncsOf(events, 'context').at(-1);
    expect(last).toMatchObject({ filesSent: 3, entries: 6, bytesSent: 5 });
  });

  test('a .dockerignore beside the Dockerfile by its name wins', async () => {
    const contextDir = await place.context({
      'sub/My.Dockerfile': 'FROM scratch\nCOPY . /\n',
      'sub/My.Dockerfile.dockerignore': '*\n!a\n',
      '.dockerignore': 'a\n',
      a: '1',
      b: '2',
    });
    const { image } = await build(client, place, {
      contextDir,
      dockerfile: { file: join(contextDir, 'sub/My.Dockerfile') },
    });
    expect(await image.layerNames()).toEqual(['a']);
  });

  test('five hundred patterns, some with commas and some not ASCII', async () => {
    const patterns = Array.from({ length: 500 }, (_, at) => `left-${at}, out`);
    const contextDir = await place.context({
      Dockerfile: 'FROM scratch\nCOPY data /\n',
      '.dockerignore': `${patterns.join('\n')}\n**/ärger\n`,
      'data/left-499, out': 'kept, it is not at the top',
      'data/out': 'kept',
      'data/ärger': 'gone',
      'left-499, out': 'gone',
    });
    const { image } = await build(client, place, { contextDir });
    expect(await image.layerNames()).toEqual(['left-499, out', 'out']);
  });

  test('the target of a link that COPY names', async () => {
    const contextDir = await place.context({
      Dockerfile: 'FROM scratch\nCOPY current/file /\n',
      'v1/file': 'one',
      'v1/other': 'no',
      'v2/file': 'no',
    });
    await symlink('v1', join(contextDir, 'current'));
    const { events, image } = await build(client, place, { contextDir });
    expect(await image.fileText('file')).toBe('one');
    expect(sentOf(events)).toEqual({ files: 1, bytes: 3 });
  });

  test('a named context has its own tree', async () => {
    const contextDir = await place.context({ Dockerfile: 'FROM scratch\nCOPY --from=assets logo /\n' });
    const assets = await place.context({ logo: 'L', more: 'M' }, 'assets');
    const { events, image } = await build(client, place, { contextDir, namedContexts: { assets: { dir: assets } } });
    expect(await image.fileText('logo')).toBe('L');
    expect(sentOf(events, 'context-assets')).toEqual({ files: 1, bytes: 1 });
    expect(sentOf(events)).toEqual({ files: 0, bytes: 0 });
  });
});

describe('a second build', () => {
  test('sends nothing when nothing changed, and then only what did', async () => {
    const files = Object.fromEntries(Array.from({ length: 50 }, (_, at) => [`f/${at}`, `${at} ${fresh()}`]));
    const contextDir = await place.context({ Dockerfile: 'FROM scratch\nCOPY f /f\n', ...files });
    const first = await build(client, place, { contextDir });
    expect(sentOf(first.events).files).toBe(50);
    const second = await build(client, place, { contextDir });
    expect(sentOf(second.events)).toEqual({ files: 0, bytes: 0 });
    expect(syncsOf(second.events, 'context').at(-1)?.entries).toBe(51);
    expect(second.result).toMatchObject({ steps: 1, cachedSteps: 1 });
    await writeFile(join(contextDir, 'f/7'), 'changed');
    await rm(join(contextDir, 'f/8'));
    const third = await build(client, place, { contextDir });
    expect(sentOf(third.events)).toEqual({ files: 1, bytes: 7 });
    expect(await third.image.fileText('f/7')).toBe('changed');
    expect(await third.image.layerNames()).not.toContain('f/8');
  });

  test('takes a new Dockerfile that came as bytes, also one of equal length', async () => {
    const contextDir = await place.context({ a: '1', b: '2' });
    const images = [];
    for (const name of ['a', 'b']) {
      const { image } = await build(client, place, {
        contextDir,
        dockerfile: { bytes: Buffer.from(`FROM scratch\nCOPY ${name} /\n`) },
      });
      images.push(await image.layerNames());
    }
    expect(images).toEqual([['a'], ['b']]);
  });
});

describe('entries', () => {
  test('modes, links and times arrive as they are, owned by root', async () => {
    const contextDir = await place.context({
      Dockerfile: 'FROM scratch\nCOPY data /data\n',
      'data/plain': 'p',
      'data/setuid': 's',
      'data/dir/x': 'x',
    });
    const at = (name: string) => join(contextDir, 'data', name);
    await chmod(at('setuid'), 0o4750);
    await chmod(at('dir'), 0o1777);
    await link(at('plain'), at('plain-too'));
    await symlink('../outside/ü', at('symlink'));
    await run('mkfifo', [at('pipe')]);
    await utimes(at('plain'), 0, 1_500_000_000);
    const { image } = await build(client, place, { contextDir });
    const listing = (await image.layerListing()).map((line) => line.replace(/\s+/g, ' '));
    const find = (name: string) =>
      listing.find((line) => line.includes(` data/${name}`) && line.split(` data/${name}`)[1]?.match(/^(?:\/?$| )/));
    expect(find('setuid')).toMatch(/^-rwsr-x--- 0\/0 1 /);
    expect(find('dir')).toMatch(/^drwxrwxrwt 0\/0 0 /);
    expect(find('plain')).toMatch(/^-rw-r--r-- 0\/0 1 2017-07-14 02:40:00 /);
    expect(find('plain-too')).toMatch(/^hrw-r--r-- 0\/0 0 .* link to data\/plain$/);
    expect(find('symlink')).toMatch(/^lrwxrwxrwx 0\/0 0 .* -> \.\.\/outside\/\\303\\274$/);
    expect(find('pipe')).toMatch(/^prw-r--r-- 0\/0 0 /);
  });

  test('a hard link whose first name is left out comes as a file', async () => {
    const contextDir = await place.context({
      Dockerfile: 'FROM scratch\nCOPY . /\n',
      '.dockerignore': '*\n!data/b*\n',
      'data/a': 'content',
    });
    await link(join(contextDir, 'data/a'), join(contextDir, 'data/b1'));
    await link(join(contextDir, 'data/a'), join(contextDir, 'data/b2'));
    const { image } = await build(client, place, { contextDir });
    expect(await image.layerNames()).toEqual(['data/', 'data/b1', 'data/b2']);
    expect(await image.fileText('data/b1')).toBe('content');
    expect((await image.layerListing()).at(-1)).toMatch(/link to data\/b1$/);
  });

  test('names come over in byte order, whatever their characters', async () => {
    const names = ['a', 'a-b', 'a.b', 'ab', 'a/x', 'B', 'Z', 'é', '\u{1F600}', '\uFFFD'];
    const files = Object.fromEntries(names.filter((name) => name !== 'a').map((name) => [`data/${name}`, name]));
    const contextDir = await place.context({ Dockerfile: 'FROM scratch\nCOPY data /\n', ...files });
    const { image } = await build(client, place, { contextDir });
    expect((await image.layerNames()).length).toBe(names.length);
  });

  test('a name that is no UTF-8 keeps its bytes', async () => {
    const contextDir = await place.context({ Dockerfile: 'FROM scratch\nCOPY data /\n', 'data/x': '1' });
    await writeFile(Buffer.concat([Buffer.from(`${contextDir}/data/`), Buffer.from([0x66, 0xff, 0xfe])]), 'raw');
    const { image } = await build(client, place, { contextDir });
    expect(await image.layerNames()).toEqual(['f\\377\\376', 'x']);
  });

  test('ten thousand files arrive, each with its bytes', async () => {
    const contextDir = await place.context({ Dockerfile: 'FROM scratch\nCOPY many /\n' });
    for (let group = 0; group < 100; group++) {
      await mkdir(join(contextDir, 'many', String(group)), { recursive: true });
      await Promise.all(
        Array.from({ length: 100 }, (_, at) =>
          writeFile(join(contextDir, 'many', String(group), String(at)), `${group}/${at} ${'x'.repeat(at * 30)}`),
        ),
      );
    }
    const { events, image } = await build(client, place, { contextDir });
    expect(sentOf(events).files).toBe(10_000);
    expect(await image.layerNames()).toHaveLength(10_100);
    expect(await image.fileText('77/42')).toBe(`77/42 ${'x'.repeat(42 * 30)}`);
  });

  test('a large file arrives', async () => {
    const contextDir = await place.context({
      Dockerfile: 'FROM scratch\nCOPY large /\n',
      large: `${'0123456789abcdef'.repeat(2_000_000)}end`,
    });
    const { events, image } = await build(client, place, { contextDir });
    expect(sentOf(events)).toEqual({ files: 1, bytes: 32_000_003 });
    expect((await image.layerListing())[0]).toMatch(/ 32000003 .* large$/);
  });
});

describe('limits', () => {
  test.for<[what: string, limits: { maxEntries?: number; maxBytes?: number }]>([
    ['entries', { maxEntries: 3 }],
    ['bytes', { maxBytes: 5 }],
  ])('a context with more %s than allowed is refused', async ([, limits]) => {
    const contextDir = await place.context({
      Dockerfile: 'FROM scratch\nCOPY d /\n',
      'd/1': '11',
      'd/2': '22',
      'd/3': '33',
    });
    const failure = await failureOf(build(client, place, { contextDir, limits }));
    expect(failure.code).toBe('LIMIT_EXCEEDED');
  });

  test('a .dockerignore with a pattern that cannot be read fails the build', async () => {
    const contextDir = await place.context({ Dockerfile: `${BASE}COPY . /\n`, '.dockerignore': 'a\n[\n' });
    const failure = await failureOf(build(client, place, { contextDir }));
    expect([failure.code, failure.message]).toEqual(['CONFIG_INVALID', 'syntax error in pattern']);
  });
});
