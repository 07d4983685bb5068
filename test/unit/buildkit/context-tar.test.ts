import { execFileSync } from 'node:child_process';
import { link, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { parseDockerignore } from '../../../src/buildkit/context/dockerignore.ts';
import { contextTar } from '../../../src/buildkit/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const { signal } = new AbortController();

test('GNU tar unpacks what was sent: long names, links, modes, times, names that are no UTF-8', async () => {
  await using directory = await temporaryDirectory();
  const from = join(directory.path, 'from');
  const to = join(directory.path, 'to');
  const deep = join(from, 'a'.repeat(90), 'b'.repeat(90));
  await mkdir(deep, { recursive: true });
  await mkdir(to);
  await writeFile(join(deep, 'c'.repeat(200)), 'deep');
  await writeFile(join(from, 'run.sh'), '#!/bin/sh\n', { mode: 0o4755 });
  await writeFile(join(from, 'big'), Buffer.alloc(1_000_001, 'x'));
  await writeFile(join(from, 'empty'), '');
  await writeFile(Buffer.concat([Buffer.from(`${from}/`), Buffer.from([0xff, 0x41])]), 'bytes');
  await symlink('t'.repeat(150), join(from, 'long-link'));
  await symlink('run.sh', join(from, 'link'));
  await link(join(from, 'big'), join(from, 'bigger'));
  await writeFile(join(directory.path, 'context.tar'), Readable.from(contextTar(from, { signal })));
  execFileSync('tar', ['-xpf', join(directory.path, 'context.tar'), '-C', to]);
  const listed = (path: string) =>
    execFileSync(
      'find',
      ['.', '-printf', '%P %y %m %n %l %T@ ', '-type', 'f', '-exec', 'md5sum', '{}', ';', '-o', '-printf', '\n'],
      { cwd: path },
    )
      .toString('latin1')
      .split('\n')
      // The root is not sent.
      .filter((line) => !line.startsWith(' d'))
      .sort();
  expect(listed(to)).toEqual(listed(from));
});

test('the ignore file is obeyed, and the Dockerfile and itself are sent all the same', async () => {
  await using directory = await temporaryDirectory();
  const at = (name: string) => join(directory.path, name);
  await mkdir(at('node_modules/x'), { recursive: true });
  await mkdir(at('logs'));
  for (const name of ['Dockerfile', 'a.log', 'logs/b.log', 'logs/keep.log', 'node_modules/x/i.js', 'src.js'])
    await writeFile(at(name), name);
  await writeFile(
    at('.dockerignore'),
    '# all logs\n/node_modules\n**/*.log\n!logs/keep.log\nDockerfile\n.dockerignore\n',
  );
  expect(await namesOf(directory.path)).toEqual(['.dockerignore', 'Dockerfile', 'logs/', 'logs/keep.log', 'src.js']);
  await writeFile(at('Dockerfile.dockerignore'), '*\n!src.js\n');
  expect(await namesOf(directory.path)).toEqual(['.dockerignore', 'Dockerfile', 'Dockerfile.dockerignore', 'src.js']);
});

test('a folder that is none is CONTEXT_NOT_FOUND', async () => {
  await expect(buffer(Readable.from(contextTar('/nowhere', { signal })))).rejects.toMatchObject({
    code: 'CONTEXT_NOT_FOUND',
  });
});

test.for<[text: string, patterns: readonly string[]]>([
  ['', []],
  ['\uFEFFa\r\nb\r\n', ['a', 'b']],
  ['#c\n #d\n', ['#d']],
  ['/a/./b/../c/\n', ['a/c']],
  ['! /x\n!y/\n', ['!x', '!y']],
  ['/\n', ['/']],
])('the ignore file %j has the patterns %j', ([text, patterns]) => {
  expect(parseDockerignore(text)).toEqual(patterns);
});

async function namesOf(directory: string): Promise<readonly string[]> {
  const tar = await buffer(Readable.from(contextTar(directory, { signal })));
  return execFileSync('tar', ['-t'], { input: tar }).toString().trim().split('\n');
}
