import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { BuildResult } from '../../src/jobs/index.ts';
import { OciLayout } from '../../src/oci/index.ts';
import { startBuildkit } from '../support/buildkitd.ts';
import { buildJson, commandError } from '../support/command-line.ts';
import { serviceSetting } from '../support/services.ts';
import { smallContext } from '../support/small-context.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary-directory.ts';

const signal = AbortSignal.timeout(300_000);
let scratch: TemporaryDirectory;
let context: string;
let builds = 0;
beforeAll(async () => {
  scratch = await temporaryDirectory('local-cache');
  context = await smallContext(join(scratch.path, 'context'));
});
afterAll(async () => {
  await scratch[Symbol.asyncDispose]();
});

function args(flags: readonly string[]): readonly string[] {
  const registry = `${serviceSetting('CLIPYARD_REGISTRY')}/local-cache/${process.pid}`;
  const id = `c${process.pid}_${String(builds++)}`;
  return ['--context', context, '--workspace', 'caches', '--image-id', id, '--registry', registry, ...flags];
}

const diffIds = ({ layers }: BuildResult) => layers.map(({ diffId }) => diffId);

test('a cache in a folder, its name in no ASCII, spares another daemon every step', async () => {
  const cache = join(scratch.path, 'çache of steps');
  await using one = await startBuildkit();
  const first = await buildJson(args(['--cache-to', `type=local,dest=${cache},mode=max`]), one.env);
  expect(first.buildkit.cachedSteps).toBe(0);
  const layout = await OciLayout.open(cache, { signal });
  const { digest } = await layout.resolve('latest');
  expect(await readFile(layout.blobPath(digest), 'utf8')).toContain('layers');
  expect((await readdir(join(cache, 'blobs/sha256'))).length).toBeGreaterThan(first.layers.length);

  await using two = await startBuildkit();
  const from = `type=local,src=${cache}`;
  const again = await buildJson(args(['--cache-from', from]), two.env);
  expect(again.buildkit).toEqual({ cachedSteps: first.buildkit.steps, steps: first.buildkit.steps });
  // A step of the image writes random bytes: the same ones only if it did not run again.
  expect(diffIds(again)).toEqual(diffIds(first));

  // The same folder as source and target, by digest and under another name.
  await writeFile(join(context, 'message'), 'second');
  const both = ['--cache-from', `${from},digest=${digest}`, '--cache-to', `type=local,dest=${cache},tag=next`];
  await using three = await startBuildkit();
  const changed = await buildJson(args(both), three.env);
  expect(changed.buildkit.cachedSteps).toBeGreaterThan(0);
  expect(diffIds(changed).slice(0, 2)).toEqual(diffIds(first).slice(0, 2));
  expect((await layout.resolve('latest')).digest).toBe(digest);
  expect((await layout.resolve('next')).digest).not.toBe(digest);
});

test('a cache whose bytes are damaged is never used: the steps run', async () => {
  const cache = join(scratch.path, 'damaged');
  await using one = await startBuildkit();
  const first = await buildJson(args(['--cache-to', `type=local,dest=${cache},mode=max`]), one.env);
  const blobs = join(cache, 'blobs/sha256');
  for (const name of await readdir(blobs)) {
    const bytes = await readFile(join(blobs, name));
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 9) ^ 1, bytes.length - 9);
    await writeFile(join(blobs, name), bytes);
  }
  await using two = await startBuildkit();
  const again = await buildJson(args(['--cache-from', `type=local,src=${cache}`]), two.env);
  expect(again.buildkit.cachedSteps).toBe(0);
  expect(diffIds(again)).not.toEqual(diffIds(first));
});

test.for<[flag: string, spec: string, code: string]>([
  ['--cache-from', 'type=local,src=DIR/none', 'PATH_NOT_FOUND'],
  ['--cache-from', 'type=local,src=DIR/file', 'PATH_NOT_FOUND'],
  ['--cache-from', 'type=local,src=DIR/empty', 'LAYOUT_NOT_FOUND'],
  ['--cache-from', 'type=local', 'USAGE'],
  ['--cache-from', 'type=local,src=', 'USAGE'],
  ['--cache-from', 'type=local,src=DIR/layout,tag=none', 'LAYOUT_NOT_FOUND'],
  ['--cache-from', 'type=local,src=DIR/layout,digest=../../etc/passwd', 'DIGEST_INVALID'],
  ['--cache-to', 'type=local', 'USAGE'],
  ['--cache-to', 'type=local,dest=DIR/file', 'OUTPUT_EXISTS'],
  ['--cache-to', 'type=local,dest=DIR/file/below', 'OUTPUT_EXISTS'],
])('%s %s is %s', async ([flag, spec, code]) => {
  const dir = join(scratch.path, 'hostile');
  await mkdir(join(dir, 'empty'), { recursive: true });
  await OciLayout.open(join(dir, 'layout'), { create: true, signal });
  await writeFile(join(dir, 'file'), '');
  expect((await commandError(['build', ...args([flag, spec.replace('DIR', dir)])])).code).toBe(code);
});
