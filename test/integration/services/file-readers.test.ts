import { createHash } from 'node:crypto';
import { appendFile, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type ContextFile, openContext } from '../../../src/buildkit/index.ts';
import { nativeToolPaths } from '../../../src/native/index.ts';
import type { FileReader } from '../../../src/services/context/file-reader.ts';
import { hashContext } from '../../../src/services/context/hash-context.ts';
import { NativeReader } from '../../../src/services/context/native-reader.ts';
import { ownReader } from '../../../src/services/context/own-reader.ts';
import { StatCache } from '../../../src/services/context/stat-cache.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const { signal } = new AbortController();
const tools = nativeToolPaths(process.env, join(import.meta.dirname, '../../..'));
/** No UTF-8. */
const ODD = Buffer.from('odd\xff\n', 'latin1');

async function contextOf(directory: string, files: Readonly<Record<string, string>>): Promise<readonly ContextFile[]> {
  const { Dockerfile = 'FROM scratch\n', ...others } = files;
  await mkdir(join(directory, 'in'), { recursive: true });
  for (const [name, content] of Object.entries({ Dockerfile, ...others }))
    await writeFile(join(directory, name), content);
  const context = await openContext({ contextDir: directory });
  return [...context.entries()].filter(({ path, type }) => type === 'file' && !path.equals(Buffer.from('Dockerfile')));
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

describe.each<[name: string, start: (stop: AbortSignal) => FileReader]>([
  ['in this process', (stop) => ownReader({ signal: stop })],
  ['by the native tool', (stop) => new NativeReader(tools, { signal: stop })],
])('files read %s', (_, start) => {
  test('have the digests of their bytes, batch for batch', async () => {
    await using directory = await temporaryDirectory();
    await using reader = start(signal);
    const contents: Readonly<Record<string, string>> = { a: '', 'in/b': 'b', c: 'c'.repeat(600_000), é: 'é' };
    await writeFile(Buffer.concat([Buffer.from(`${directory.path}/`), ODD]), 'odd');
    const files = await contextOf(directory.path, contents);
    const batches = [files, files.toReversed(), []].map((batch) => reader.read(batch));
    const wanted = files.map(({ path }) => sha256(path.equals(ODD) ? 'odd' : (contents[path.toString()] ?? '?')));
    expect(wanted).toHaveLength(5);
    expect(await Promise.all(batches)).toEqual([wanted, wanted.toReversed(), []]);
  });

  test.for<[what: string, change: (path: string) => Promise<unknown>]>([
    ['is gone', (path) => rm(path)],
    ['grew', (path) => appendFile(path, 'x')],
    ['has other bytes of the same length', (path) => writeFile(path, 'FILE')],
    ['is another file', (path) => rename(path, `${path}-`).then(() => writeFile(path, 'file'))],
    ['is a link', (path) => rename(path, `${path}-`).then(() => symlink('file-', path))],
    ['is a folder', (path) => rm(path).then(() => mkdir(path))],
    ['is a socket', (path) => rm(path).then(() => socketAt(path))],
    [
      'lies below a file',
      (path) => rm(join(path, '..'), { recursive: true }).then(() => writeFile(join(path, '..'), '')),
    ],
  ])('D36: a file that %s since it was listed is told by its name', async ([, change]) => {
    await using directory = await temporaryDirectory();
    await using reader = start(signal);
    const files = await contextOf(directory.path, { 'in/file': 'file' });
    await change(join(directory.path, 'in/file'));
    await expect(reader.read(files)).rejects.toMatchObject({
      code: 'CONTEXT_CHANGED',
      message: 'in/file changed while the context was looked at',
    });
  });

  test('reading ends when it is stopped', async () => {
    await using directory = await temporaryDirectory();
    const stop = new AbortController();
    await using reader = start(stop.signal);
    const files = await contextOf(directory.path, { big: 'x'.repeat(20_000_000) });
    const reading = reader.read(Array<ContextFile>(200).fill(files[0] as ContextFile));
    stop.abort();
    await expect(reading).rejects.toThrow();
  });
});

test('D36: a context has one hash, whoever reads it', async () => {
  await using directory = await temporaryDirectory();
  const names = Array.from({ length: 700 }, (_, at) => `in/${at}`);
  await contextOf(directory.path, Object.fromEntries(names.map((name) => [name, `content of ${name}`])));
  const hashBy = async (directories: readonly string[]) => {
    const context = await openContext({ contextDir: directory.path });
    const cache = await StatCache.open(join(directory.path, 'no-cache'), directory.path);
    const input = { args: {}, bases: {}, target: undefined, platforms: [] };
    return await hashContext(context, input, { cache, tools: { directories }, signal });
  };
  const here = await hashBy([]);
  expect(here.filesRead).toBe(701);
  expect(await hashBy(tools.directories)).toEqual(here);
});

test('a tool that is none is told of', async () => {
  await using directory = await temporaryDirectory();
  await writeFile(join(directory.path, 'clipyard-hash'), '#!/bin/sh\necho no\n', { mode: 0o755 });
  await using reader = new NativeReader({ directories: [directory.path] }, { signal });
  await expect(reader.read([])).rejects.toMatchObject({ code: 'NATIVE_TOOL_FAILED' });
});

async function socketAt(path: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  server.unref();
}
