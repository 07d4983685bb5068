import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BuildResult, IndexResult } from '../../src/jobs/index.ts';
import { buildJson, commandJson, runCommand } from '../support/command-line.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { runInProcess } from '../support/in-process.ts';
import { serviceSetting } from '../support/services.ts';
import { smallContext } from '../support/small-context.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary-directory.ts';

const run = promisify(execFile);
const imageId = `e2e_${process.pid}`;

describe('build, publish, mount and run one image', () => {
  let scratch: TemporaryDirectory;
  let proxy: FaultProxy;
  let first: BuildResult;
  let context: string;
  let flags: readonly string[];

  beforeAll(async () => {
    scratch = await temporaryDirectory('e2e');
    proxy = await FaultProxy.start(serviceSetting('CLIPYARD_REGISTRY'));
    context = await smallContext(join(scratch.path, 'context'));
    flags = [
      '--context',
      context,
      '--workspace',
      'e2e',
      '--image-id',
      imageId,
      '--registry',
      `${proxy.address}/e2e/${imageId}`,
    ];
    first = await buildJson([...flags, '--layout', join(scratch.path, 'layout')]);
  });

  afterAll(async () => {
    await proxy[Symbol.asyncDispose]();
    await scratch[Symbol.asyncDispose]();
  });

  test('the result names what was built and where it is', () => {
    const { registry, tag } = { registry: proxy.address, tag: `e2e-${imageId}` };
    expect(first).toMatchObject({
      workspaceId: 'e2e',
      imageId,
      imageTag: tag,
      storageRef: `${registry}/e2e/${imageId}:${tag}`,
      platforms: ['linux/amd64'],
      generation: 1,
    });
    expect(first.sourceRef).toMatch(/^oci:.*:latest$/);
    expect(first.layers.map(({ packed, pushed }) => [packed, pushed])).toEqual(first.layers.map(() => ['new', 'sent']));
    expect(first.layers.length).toBe(4);
    expect(first.phases.map(({ name }) => name)).toEqual([
      'preparing',
      'building',
      'landing',
      'packing',
      'pushing',
      'archiving',
      'publishing',
    ]);
    expect(first.archives[0]?.entries).toBeGreaterThan(250);
    expect(first.bytesPushed).toBeGreaterThan(first.layers.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
  });

  test('each blob went over the wire once', () => {
    const uploads = proxy
      .takeRequests()
      .filter(
        ({ method, status }) =>
          (method === 'PUT' || method === 'POST' || method === 'PATCH') && status !== undefined && status < 300,
      );
    const finished = uploads
      .filter(({ query }) => query.includes('digest='))
      .map(({ query }) => new URLSearchParams(query).get('digest'));
    expect(new Set(finished).size).toBe(finished.length);
    expect(uploads.reduce((sum, { requestBytes }) => sum + requestBytes, 0)).toBeLessThan(first.bytesPushed + 20_000);
  });

  test('the same build again sends no blob byte and costs no packing', async () => {
    proxy.takeRequests();
    const again = await buildJson(flags);
    expect(again.manifestDigest).toBe(first.manifestDigest);
    expect(again.archives.map(({ digest }) => digest)).toEqual(first.archives.map(({ digest }) => digest));
    expect(again.layers.map(({ packed, pushed }) => [packed, pushed])).toEqual(
      first.layers.map(() => ['cached', 'present']),
    );
    expect(again.bytesPushed).toBe(0);
    expect(again.buildkit.cachedSteps).toBe(again.buildkit.steps);
    const requests = proxy.takeRequests();
    expect(requests.filter(({ path, method }) => path.includes('/blobs/') && method !== 'HEAD')).toEqual([]);
  });

  test('after one file changed, only the layers that hang on it are new', async () => {
    await writeFile(join(context, 'message'), 'second');
    const changed = await buildJson(flags);
    expect(changed.layers.map(({ packed }) => packed)).toEqual(['cached', 'cached', 'new', 'new']);
    expect(changed.bytesPushed).toBeLessThan(first.bytesPushed / 100);
    expect(changed.generation).toBe(2);
    await writeFile(join(context, 'message'), 'first');
    expect((await buildJson(flags)).manifestDigest).toBe(first.manifestDigest);
  });

  test('inspect, ls and cat take the names that mount takes', async () => {
    const pointer = `${first.workspaceId}/${first.imageId}`;
    const inspected = await runInProcess(['--json', 'inspect', pointer], process.env);
    expect(JSON.parse(inspected.stdout)).toMatchObject({ counts: { entries: first.archives[0]?.entries } });
    const listed = await runInProcess(['ls', first.archives[0]?.uri ?? '', '/srv'], process.env);
    expect(listed.stdout).toContain('linked');
    const other = await runInProcess(['cat', '--platform', 'linux/s390x', pointer, '/srv/linked'], process.env);
    expect([other.exitCode, other.stderr]).toEqual([66, expect.stringMatching(/PLATFORM_NOT_FOUND: .*linux\/s390x/)]);
    const read = await runCommand(['cat', `docker://${first.storageRef}`, '/srv/linked']);
    expect(read).toMatchObject({ exitCode: 0, stdout: 'first' });
  });

  test('skopeo reads the pushed image and the layout, and copies both', async () => {
    const tls = '--src-tls-verify=false';
    const pushed = JSON.parse(
      (await run('skopeo', ['inspect', '--tls-verify=false', `docker://${first.storageRef}`])).stdout,
    ) as { Layers: string[] };
    expect(pushed.Layers).toEqual(first.layers.map(({ digest }) => digest));
    const layout = `oci:${join(scratch.path, 'layout')}:latest`;
    const local = JSON.parse((await run('skopeo', ['inspect', layout])).stdout) as { Digest: string };
    expect(local.Digest).toBe(first.manifestDigest);
    await run('skopeo', ['copy', tls, `docker://${first.storageRef}`, `oci:${join(scratch.path, 'copy')}:a`]);
    await run('skopeo', ['copy', layout, `oci:${join(scratch.path, 'copy')}:b`]);
  });

  test('zstd -d reads every blob, and what comes out has the diffID', async () => {
    for (const { digest, diffId } of first.layers) {
      const blob = join(scratch.path, 'layout/blobs/sha256', digest.slice(7));
      const { stdout } = await run('sh', ['-c', `zstd -dcq "${blob}" | sha256sum`]);
      expect(`sha256:${stdout.slice(0, 64)}`).toBe(diffId);
    }
  });

  test('indexing a layout asks nothing of the registry', async () => {
    proxy.takeRequests();
    const output = join(scratch.path, 'again.clip');
    const indexed = await commandJson<IndexResult>([
      'index',
      '--from',
      `oci:${join(scratch.path, 'layout')}:latest`,
      '--storage-ref',
      first.storageRef,
      '--output',
      output,
      '--no-cache',
    ]);
    expect(proxy.takeRequests()).toEqual([]);
    // Indexing the finished image gives what building it gave: the same bytes.
    expect(indexed.archive.digest).toBe(first.archives[0]?.digest);
    const remote = await commandJson<IndexResult>([
      'index',
      '--from',
      `docker://${first.storageRef}`,
      '--output',
      `${output}.2`,
    ]);
    expect(remote.archive.digest).toBe(indexed.archive.digest);
  });

  test('inspect, ls, cat and verify work on the archive', async () => {
    const archive = join(scratch.path, 'again.clip');
    const description = await commandJson<{ kind: string; storageRef: string }>(['inspect', archive]);
    expect(description).toMatchObject({
      kind: 'clipyard',
      storageRef: `${proxy.address}/e2e/${imageId}@${first.manifestDigest}`,
    });
    const rows = await commandJson<{ name: string; links: number }[]>(['ls', archive, '/data']);
    expect(rows.map(({ links, name }) => [name, links])).toEqual([
      ['copy', 2],
      ['message', 1],
    ]);
    expect((await runCommand(['cat', archive, '/srv/linked'])).stdout).toBe('first');
    expect(await commandJson(['verify', archive])).toMatchObject({ ok: true, kind: 'clipyard' });
    expect(await commandJson(['verify', '--deep', archive])).toMatchObject({ ok: true, deep: { layers: 4 } });
  });

  test('run starts the image from the store, from another address, with ranged GETs alone', async () => {
    await using other = await FaultProxy.start(serviceSetting('CLIPYARD_REGISTRY'));
    const state = join(scratch.path, 'other');
    await mkdir(state);
    const env = { CLIPYARD_STATE: state, CLIPYARD_CACHE: join(state, 'cache'), ...storeSettings() };
    const result = await runCommand(
      [
        'run',
        `e2e/${imageId}`,
        '--storage-ref',
        `${other.address}/e2e/${imageId}`,
        '--workdir',
        '/data',
        '--',
        '/bin/sh',
        '-c',
        'cat /data/copy; echo " $GREETING"; pwd; exit 7',
      ],
      env,
    );
    expect(result).toMatchObject({ exitCode: 7, stdout: 'first hello\n/data\n' });
    const blobs = other.takeRequests().filter(({ path }) => path.includes('/blobs/'));
    expect(blobs.every(({ method, range, status }) => method === 'GET' && range !== undefined && status === 206)).toBe(
      true,
    );
    const fetched = blobs.reduce((sum, { responseBytes }) => sum + responseBytes, 0);
    expect(fetched).toBeGreaterThan(0);
    expect(fetched).toBeLessThan(first.bytesPushed / 2);
    expect(await mountsBelow(state)).toEqual([]);
  });

  test('mount, stat and umount; what was read once comes from the cache', async () => {
    const mountpoint = join(scratch.path, 'mnt');
    await mkdir(mountpoint);
    await commandJson(['mount', `e2e/${imageId}`, mountpoint]);
    try {
      expect(await readFile(join(mountpoint, 'data/copy'), 'utf8')).toBe('first');
      expect((await readFile(join(mountpoint, 'blob'))).length).toBe(64 * 1024 * 48);
      expect(await commandJson(['stat', mountpoint])).toMatchObject({ layers: expect.any(Array) as unknown });
      expect(await commandJson<{ mountpoint: string }[]>(['mounts'])).toEqual(
        expect.arrayContaining([expect.objectContaining({ mountpoint })]),
      );
    } finally {
      await commandJson(['umount', mountpoint]);
    }
    expect(await mountsBelow(scratch.path)).toEqual([]);
    await commandJson(['mount', `docker://${first.storageRef}`, mountpoint]);
    proxy.takeRequests();
    await readFile(join(mountpoint, 'blob'));
    await commandJson(['umount', mountpoint]);
    expect(proxy.takeRequests().filter(({ path }) => path.includes('/blobs/'))).toEqual([]);
  });
});

/** A second state directory has no services of its own: its store and keys are the test's. */
function storeSettings(): Record<string, string> {
  return Object.fromEntries(
    ['CLIPYARD_STORE', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_REGION', 'AWS_ENDPOINT_URL'].map((name) => [
      name,
      serviceSetting(name),
    ]),
  );
}

async function mountsBelow(directory: string): Promise<readonly string[]> {
  return (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').filter((line) => line.includes(` ${directory}/`));
}
