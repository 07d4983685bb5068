import { appendFile, chmod, mkdir, readFile, rename, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { digestOf } from '../../../src/digest/index.ts';
import { indexTool } from '../../../src/indexer/index.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

const signal = AbortSignal.timeout(60_000);

let directory: TemporaryDirectory;
let path: string;
beforeEach(async () => {
  directory = await temporaryDirectory();
  path = join(directory.path, 'clipyard-index');
  await writeTool(path, 'zstd-1');
});
afterEach(async () => {
  await directory[Symbol.asyncDispose]();
});

/** A tool that says who it is and writes down that it was asked. */
async function writeTool(to: string, zstd: string): Promise<void> {
  await writeFile(to, toolText(zstd));
  await chmod(to, 0o755);
}
const toolText = (zstd: string) =>
  `#!/bin/sh\nread -r request\necho asked >>'${directory.path}/asked'\necho '{"v":1,"event":"result","id":"","result":{"zstd":"${zstd}"}}'\n`;

const minuteLater = () => Date.now() + 60_000;
const ask = async (now?: () => number) =>
  await indexTool({
    tools: { directories: [directory.path] },
    stateDir: join(directory.path, 'state'),
    signal,
    ...(now !== undefined && { now }),
  });
const timesAsked = async () => (await readFile(join(directory.path, 'asked'), 'utf8')).split('\n').length - 1;

test('a tool is asked once', async () => {
  const first = await ask(minuteLater);
  expect(first).toMatchObject({ digest: digestOf(toolText('zstd-1')), encoders: { zstd: 'zstd-1' } });
  expect(await ask(minuteLater)).toMatchObject({ digest: first.digest, encoders: first.encoders });
  expect(await timesAsked()).toBe(1);
});

test('one that changed a moment ago is not remembered: it could change again within the same tick', async () => {
  await ask();
  await ask();
  expect(await timesAsked()).toBe(2);
});

test.for<[how: string, change: () => Promise<void>]>([
  [
    'a new file under its name',
    async () => {
      await writeTool(`${path}.new`, 'zstd-2');
      await rename(`${path}.new`, path);
    },
  ],
  ['bytes written into it', () => writeTool(path, 'zstd-2')],
])('%s, with size and time of the old one, is another tool', async ([, change]) => {
  await utimes(path, 1000, 1000);
  const first = await ask(minuteLater);
  expect(await first.isCurrent()).toBe(true);
  await change();
  await utimes(path, 1000, 1000);
  expect(await first.isCurrent()).toBe(false);
  expect(await ask(minuteLater)).toMatchObject({
    digest: digestOf(toolText('zstd-2')),
    encoders: { zstd: 'zstd-2' },
  });
});

test('what is remembered may be lost, damaged or not be kept at all', async () => {
  await ask(minuteLater);
  const remembered = join(directory.path, 'state', 'tools', 'clipyard-index.json');
  for (const text of ['', '{}', '{"version":1}']) {
    await writeFile(remembered, text);
    expect(await ask(minuteLater)).toMatchObject({ encoders: { zstd: 'zstd-1' } });
  }
  expect(await timesAsked()).toBe(4);
  await mkdir(join(directory.path, 'other'));
  await appendFile(join(directory.path, 'other', 'tools'), 'no folder');
  const tools = { directories: [directory.path] };
  const stateDir = join(directory.path, 'other');
  expect(await indexTool({ tools, stateDir, signal, now: minuteLater })).toMatchObject({
    encoders: { zstd: 'zstd-1' },
  });
});
