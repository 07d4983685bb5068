import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { buildJson, commandError, commandJson, runCommand, startCommand } from '../support/command-line.ts';
import { serviceSetting } from '../support/services.ts';
import { smallContext } from '../support/small-context.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary-directory.ts';

const imageId = `rough_${process.pid}`;
const source = `e2e/${imageId}`;
let scratch: TemporaryDirectory;
let mountpoint: string;

beforeAll(async () => {
  scratch = await temporaryDirectory('rough');
  mountpoint = join(scratch.path, 'mount');
  await mkdir(mountpoint);
  const context = await smallContext(join(scratch.path, 'context'));
  await buildJson([
    ...['--context', context, '--workspace', 'e2e', '--image-id', imageId],
    ...['--registry', `${serviceSetting('CLIPYARD_REGISTRY')}/e2e/${imageId}`, '--compression', 'gzip'],
    ...['--layout', join(scratch.path, 'layout')],
  ]);
});
afterAll(async () => {
  await scratch[Symbol.asyncDispose]();
});

test('Ctrl-C ends a container whose command ignores it, and takes everything away', async () => {
  const running = startCommand(['run', source, '--', '/bin/sh', '-c', 'trap "" TERM; echo up >&2; sleep 300']);
  await running.sawLine(/^up$/);
  running.child.kill('SIGINT');
  expect((await running.result).exitCode).toBe(130);
  expect(await mountsOf((path) => path.includes('/runs/run-'))).toEqual([]);
});

test('what a killed run left goes with the next one, when its container has ended', async () => {
  const kept = join(scratch.path, 'kept');
  const script = 'echo kept > /note; echo up >&2; sleep 2';
  const running = startCommand(['run', '--rw', kept, source, '--', '/bin/sh', '-c', script]);
  await running.sawLine(/^up$/);
  running.child.kill('SIGKILL');
  const isOfRun = (path: string) => path.includes(`/runs/run-${running.child.pid ?? 0}-`);
  expect(await mountsOf(isOfRun)).not.toEqual([]);
  for (let tries = 0; tries < 40 && (await mountsOf(isOfRun)).length > 0; tries++) {
    await sleep(500);
    expect((await runCommand(['run', source, '--', '/bin/true'])).exitCode).toBe(0);
  }
  expect(await mountsOf(isOfRun)).toEqual([]);
  expect(await readFile(join(kept, 'upper/note'), 'utf8')).toBe('kept\n');
});

test('a command that is not in the image is RUN_FAILED; the exit code of one that ran is its own', async () => {
  expect(await commandError(['run', source, '--', '/bin/nothing'])).toMatchObject({ code: 'RUN_FAILED', exitCode: 64 });
  expect((await runCommand(['run', source, '--', '/bin/sh', '-c', 'exit 1'])).exitCode).toBe(1);
});

test('a mount below an overlay is MOUNT_BUSY in the end, not an endless wait', async () => {
  const layers = Object.fromEntries(['upper', 'work', 'merged'].map((name) => [name, join(scratch.path, name)]));
  for (const path of Object.values(layers)) await mkdir(path);
  await commandJson(['mount', source, mountpoint]);
  const options = `lowerdir=${mountpoint},upperdir=${layers['upper'] ?? ''},workdir=${layers['work'] ?? ''}`;
  await tool('mount', '-t', 'overlay', 'overlay', '-o', options, layers['merged'] ?? '');
  try {
    expect(await commandError(['umount', mountpoint])).toMatchObject({ code: 'MOUNT_BUSY' });
  } finally {
    await tool('umount', layers['merged'] ?? '');
  }
  await vi.waitFor(
    async () => {
      expect(await commandError(['umount', mountpoint])).toMatchObject({ code: 'MOUNT_NOT_FOUND' });
    },
    { timeout: 15_000, interval: 500 },
  );
});

test('the same blobs are indexed as layers of a Docker image and of an OCI image', async () => {
  const registry = serviceSetting('CLIPYARD_REGISTRY');
  const layout = join(scratch.path, 'layout');
  const docker = `${registry}/e2e/${imageId}:docker`;
  await tool(
    'skopeo',
    'copy',
    '-q',
    '--dest-tls-verify=false',
    '--format',
    'v2s2',
    `oci:${layout}:latest`,
    `docker://${docker}`,
  );
  const typesOf = async (...args: readonly string[]) => {
    const output = join(scratch.path, 'twin.clip');
    const { layers } = await commandJson<{ layers: { mediaType: string }[] }>(['index', ...args, '--output', output]);
    return new Set(layers.map(({ mediaType }) => mediaType));
  };
  expect(await typesOf('--from', `docker://${docker}`)).toEqual(
    new Set(['application/vnd.docker.image.rootfs.diff.tar.gzip']),
  );
  expect(await typesOf('--from', `oci:${layout}`, '--storage-ref', `${registry}/e2e/${imageId}`)).toEqual(
    new Set(['application/vnd.oci.image.layer.v1.tar+gzip']),
  );
});

test('an archive that cannot be written is refused before a layer is read', async () => {
  const from = ['index', '--from', `docker://${serviceSetting('CLIPYARD_REGISTRY')}/never/asked:x`];
  expect((await commandError([...from, '--output', '/nonexistent/x.clip'])).code).toBe('PATH_NOT_FOUND');
  expect((await commandError([...from, '--output', scratch.path])).code).toBe('USAGE');
});

test('an image without a layer is built, mounted and empty', async () => {
  const context = join(scratch.path, 'label');
  await mkdir(context);
  await writeFile(join(context, 'Dockerfile'), 'FROM scratch\nLABEL a=b\n');
  const built = await buildJson(['--context', context, '--workspace', 'e2e', '--image-id', `${imageId}.label`]);
  expect(built.layers).toEqual([]);
  await commandJson(['mount', `e2e/${imageId}.label`, mountpoint]);
  await commandJson(['umount', mountpoint]);
});

async function mountsOf(matches: (path: string) => boolean): Promise<readonly string[]> {
  const records = await commandJson<readonly { readonly mountpoint: string }[]>(['mounts']);
  return records.map((record) => record.mountpoint).filter(matches);
}

async function tool(program: string, ...args: readonly string[]): Promise<void> {
  const child = spawn(program, args, { stdio: 'inherit' });
  const [exitCode] = (await once(child, 'close')) as [number | null];
  if (exitCode !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${String(exitCode)}`);
}
