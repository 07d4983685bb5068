import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { BuildResult } from '../../src/jobs/index.ts';
import { startBuildkit } from '../support/buildkitd.ts';
import { buildJson, commandError, runCommand } from '../support/command-line.ts';
import { serviceSetting } from '../support/services.ts';
import { smallContext } from '../support/small-context.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary-directory.ts';

const prefix = `${serviceSetting('CLIPYARD_REGISTRY')}/contexts/${process.pid}`;

let scratch: TemporaryDirectory;
let builds = 0;
beforeAll(async () => {
  scratch = await temporaryDirectory('contexts');
});
afterAll(async () => {
  await scratch[Symbol.asyncDispose]();
});

async function build(
  context: string,
  flags: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<BuildResult> {
  const imageId = `c${process.pid}_${String(builds++)}`;
  return await buildJson(
    ['--context', context, '--workspace', 'contexts', '--image-id', imageId, '--registry', `${prefix}/image`, ...flags],
    env,
  );
}

async function contextOf(name: string, files: Readonly<Record<string, string>>): Promise<string> {
  const directory = join(scratch.path, name);
  await mkdir(directory);
  for (const [file, text] of Object.entries(files)) await writeFile(join(directory, file), text);
  return directory;
}

/** What `run` prints for a file of the image. */
async function contentOf({ imageId, workspaceId }: BuildResult, path: string): Promise<string> {
  const { exitCode, stderr, stdout } = await runCommand(['run', `${workspaceId}/${imageId}`, '--', '/bin/cat', path]);
  expect(exitCode, stderr).toBe(0);
  return stdout;
}

test('named contexts: a folder to copy from, an image to start from', async () => {
  const base = await build(await smallContext(join(scratch.path, 'base')));
  const data = await contextOf('data', { note: `note ${process.pid}` });
  const context = await contextOf('named', { Dockerfile: 'FROM ground\nCOPY --from=data note /note\n' });
  const image = `docker-image://${base.storageRef}`;
  const result = await build(context, ['--build-context', `data=${data}`, '--build-context', `ground=${image}`]);
  expect(result.layers.slice(0, -1).map(({ digest, packed }) => [digest, packed])).toEqual(
    base.layers.map(({ digest }) => [digest, 'kept']),
  );
  expect(await contentOf(result, '/note')).toBe(`note ${process.pid}`);
  expect(await contentOf(result, '/data/copy')).toBe('first');
});

test('a named context that is nowhere is refused before BuildKit is asked', async () => {
  const context = await contextOf('nowhere', { Dockerfile: 'FROM scratch\nCOPY --from=data note /note\n' });
  const args = ['build', '--context', context, '--registry', `${prefix}/image`, '--build-context', 'data=/nowhere'];
  expect((await commandError(args)).code).toBe('CONTEXT_NOT_FOUND');
});

test('a cache that one daemon exported spares another one every step', async () => {
  const context = await smallContext(join(scratch.path, 'cached'));
  const cache = `type=registry,ref=${prefix}/cache:latest`;
  const plainHttp = [serviceSetting('CLIPYARD_REGISTRY')];
  await using one = await startBuildkit({ plainHttp });
  const first = await build(context, ['--cache-to', `${cache},mode=max`], one.env);
  expect(first.buildkit.cachedSteps).toBe(0);

  await using two = await startBuildkit({ plainHttp });
  const without = await build(context, [], two.env);
  expect(without.buildkit.cachedSteps).toBe(0);

  await using three = await startBuildkit({ plainHttp });
  const again = await build(context, ['--cache-from', cache], three.env);
  expect(again.buildkit).toEqual({ cachedSteps: first.buildkit.steps, steps: first.buildkit.steps });
  // A step of the image writes random bytes: the same ones only if it did not run again.
  expect(again.layers.map(({ diffId }) => diffId)).toEqual(first.layers.map(({ diffId }) => diffId));
  expect(without.layers.map(({ diffId }) => diffId)).not.toEqual(first.layers.map(({ diffId }) => diffId));
  expect(await contentOf(again, '/data/copy')).toBe('first');
});

test('a cache that cannot be read is no failure of the build', async () => {
  const context = await smallContext(join(scratch.path, 'uncached'));
  const result = await build(context, ['--cache-from', `type=registry,ref=${prefix}/no-such-cache`]);
  expect(result.layers.length).toBe(4);
});
