import { execFileSync, spawnSync } from 'node:child_process';
import { mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildJson, commandError, commandJson, runCommand } from '../support/command-line.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { type ForgedLayer, forgeLayout } from '../support/forged-layout.ts';
import { serviceSetting } from '../support/services.ts';
import { smallContext } from '../support/small-context.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary-directory.ts';

let scratch: TemporaryDirectory;
beforeAll(async () => {
  scratch = await temporaryDirectory('bad');
});
afterAll(async () => {
  await scratch[Symbol.asyncDispose]();
});

const registry = () => serviceSetting('CLIPYARD_REGISTRY');

describe('build', () => {
  async function contextWith(dockerfile: string | undefined): Promise<string> {
    const directory = await smallContext(join(scratch.path, `context-${Math.random().toString(36).slice(2)}`));
    if (dockerfile === undefined) execFileSync('rm', [join(directory, 'Dockerfile')]);
    else await writeFile(join(directory, 'Dockerfile'), dockerfile);
    return directory;
  }

  test.for<[what: string, dockerfile: string | undefined, flags: readonly string[], code: string, exitCode: number]>([
    ['no Dockerfile', undefined, [], 'DOCKERFILE_NOT_FOUND', 66],
    ['a broken Dockerfile', 'FROM scratch\nFOO bar\n', [], 'DOCKERFILE_INVALID', 64],
    [
      'a failing RUN',
      'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "sh", "-c", "echo last words; exit 7"]\n',
      [],
      'BUILD_STEP_FAILED',
      64,
    ],
    [
      'a secret file that is not there',
      'FROM scratch\nCOPY busybox /b\n',
      ['--secret', 'id=tok,src=/nonexistent'],
      'SECRET_NOT_FOUND',
      66,
    ],
    [
      'a secret that a step needs and nobody gave',
      'FROM scratch\nCOPY busybox /bin/busybox\nRUN --mount=type=secret,id=tok,required=true ["/bin/busybox", "true"]\n',
      [],
      'SECRET_NOT_FOUND',
      66,
    ],
    ['a bad workspace id', 'FROM scratch\n', ['--workspace', '../up'], 'WORKSPACE_ID_INVALID', 64],
    ['a bad image id', 'FROM scratch\n', ['--image-id', 'a-b'], 'IMAGE_ID_INVALID', 64],
    ['an unknown flag value', 'FROM scratch\n', ['--compression', 'lz4'], 'USAGE', 64],
    [
      'a registry that refuses connections',
      'FROM scratch\nCOPY message /m\n',
      ['--registry', '127.0.0.1:1/a/b'],
      'REGISTRY_UNAVAILABLE',
      75,
    ],
    ['a base image that is not there', 'FROM 127.0.0.1:1/none:latest\n', [], 'BUILD_SOURCE_FAILED', 66],
    [
      'a store without the bucket',
      'FROM scratch\nCOPY message /m\n',
      ['--store', 's3://no-such-bucket-here/x'],
      'STORE_BUCKET_NOT_FOUND',
      66,
    ],
    [
      'no buildkitd',
      'FROM scratch\nCOPY message /m\n',
      ['--buildkit', 'unix:///nonexistent/b.sock'],
      'BUILDKIT_UNAVAILABLE',
      75,
    ],
  ])('%s', async ([, dockerfile, flags, code, exitCode]) => {
    const error = await commandError([
      'build',
      '--context',
      await contextWith(dockerfile),
      '--image-id',
      `bad_${process.pid}`,
      ...flags,
    ]);
    expect(error).toMatchObject({ code, exitCode });
  });

  test('a failing RUN says step, exit code, Dockerfile line and last words', async () => {
    const context = await contextWith(
      'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "sh", "-c", "echo last words; exit 7"]\n',
    );
    const { stderr } = await runCommand(['build', '--context', context, '--image-id', 'failing']);
    expect(stderr).toContain('BUILD_STEP_FAILED');
    expect(stderr).toMatch(/exit code:? 7/);
    expect(stderr).toMatch(/Dockerfile:3/);
    expect(stderr).toContain('last words');
  });

  test('a context that is no folder', async () => {
    expect(await commandError(['build', '--context', join(scratch.path, 'nowhere')])).toMatchObject({
      code: 'CONTEXT_NOT_FOUND',
      exitCode: 66,
    });
  });

  test('wrong store keys', async () => {
    const context = await contextWith('FROM scratch\nCOPY message /m\n');
    expect(
      await commandError(['build', '--context', context, '--image-id', 'keys'], { AWS_SECRET_ACCESS_KEY: 'wrong' }),
    ).toMatchObject({ code: 'STORE_DENIED', exitCode: 77 });
  });

  test('a full disk: DISK_FULL, and nothing half-written', async () => {
    const small = await smallDisk(join(scratch.path, 'disk'), 24);
    try {
      const context = await contextWith(
        'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "dd", "if=/dev/urandom", "of=/big", "bs=1M", "count=40"]\n',
      );
      const error = await commandError(['build', '--context', context, '--image-id', 'full'], {
        CLIPYARD_STATE: small.path,
        CLIPYARD_BUILDKIT_CONTENT: '',
        ...keys(),
      });
      expect(error).toMatchObject({ code: 'DISK_FULL', exitCode: 75 });
    } finally {
      small.unmount();
    }
  });
});

describe('index', () => {
  const tar = execFileSync('tar', ['-C', '/etc', '-cf', '-', 'hostname']);
  const cases: readonly [what: string, layer: ForgedLayer, code: string][] = [
    [
      'a blob with another content than its digest',
      { bytes: tar, stored: Buffer.from(tar).fill(1, 0, 1) },
      'BLOB_MISMATCH',
    ],
    ['a diffID that is not the layer’s', { bytes: tar, diffId: `sha256:${'0'.repeat(64)}` }, 'DIFF_ID_MISMATCH'],
    ['a truncated tar', { bytes: tar.subarray(0, 513) }, 'LAYER_TRUNCATED'],
    [
      'a truncated gzip',
      { bytes: gzipSync(tar).subarray(0, 60), mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip' },
      'LAYER_TRUNCATED',
    ],
    ['garbage', { bytes: Buffer.alloc(4096, 'garbage') }, 'LAYER_CORRUPT'],
    [
      'garbage that says gzip',
      { bytes: Buffer.alloc(4096, 'garbage'), mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip' },
      'LAYER_CORRUPT',
    ],
    [
      'garbage that says zstd',
      { bytes: Buffer.alloc(4096, 'garbage'), mediaType: 'application/vnd.oci.image.layer.v1.tar+zstd' },
      'LAYER_CORRUPT',
    ],
    ['an unknown media type', { bytes: tar, mediaType: 'application/vnd.example.layer' }, 'MEDIA_TYPE_UNSUPPORTED'],
  ];

  test.for(cases)('%s', async ([what, layer, code], { expect }) => {
    const directory = join(scratch.path, `forged-${what.replaceAll(/\W/g, '_')}`);
    const layout = await forgeLayout(join(directory, 'layout'), [layer]);
    const error = await commandError([
      'index',
      '--from',
      `oci:${layout}`,
      '--storage-ref',
      `${registry()}/a:b`,
      '--output',
      join(directory, 'out.clip'),
      '--no-cache',
    ]);
    expect(error.code).toBe(code);
    expect(await readdir(directory)).toEqual(['layout']);
  });

  test('a folder that is no layout', async () => {
    expect(
      (
        await commandError([
          'index',
          '--from',
          `oci:${scratch.path}`,
          '--storage-ref',
          'a.example/b',
          '--output',
          'x.clip',
        ])
      ).code,
    ).toMatch(/^LAYOUT_/);
  });

  test('an image that the registry does not have', async () => {
    expect(
      await commandError([
        'index',
        '--from',
        `docker://${registry()}/none:x`,
        '--output',
        join(scratch.path, 'x.clip'),
      ]),
    ).toMatchObject({ code: 'REGISTRY_NOT_FOUND', exitCode: 66 });
  });

  test('names that climb out stay inside the tree', async () => {
    const climbing = execFileSync('tar', [
      '-C',
      '/etc',
      '--absolute-names',
      '--transform',
      's,^,../../up/,',
      '-cf',
      '-',
      'hostname',
    ]);
    const layout = await forgeLayout(join(scratch.path, 'climbing'), [{ bytes: climbing }]);
    const archive = join(scratch.path, 'climbing.clip');
    await commandJson(['index', '--from', `oci:${layout}`, '--storage-ref', `${registry()}/a:b`, '--output', archive]);
    expect(await commandJson<{ name: string }[]>(['ls', archive, '/up'])).toMatchObject([{ name: 'hostname' }]);
  });
});

describe('archives and mounts', () => {
  let archive: string;
  let proxy: FaultProxy;
  let storageRef: string;

  beforeAll(async () => {
    proxy = await FaultProxy.start(registry());
    const context = await smallContext(join(scratch.path, 'mounted'));
    const layout = join(scratch.path, 'mounted-layout');
    const built = await buildJson([
      '--context',
      context,
      '--workspace',
      'bad',
      '--image-id',
      'mounted',
      '--registry',
      `${proxy.address}/bad/mounted`,
      '--layout',
      layout,
    ]);
    storageRef = built.storageRef;
    archive = join(scratch.path, 'mounted.clip');
    await commandJson(['index', '--from', `oci:${layout}:latest`, '--storage-ref', storageRef, '--output', archive]);
  });
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]();
  });

  test('an archive truncated anywhere, or with a bit flipped, is a coded error', async () => {
    const bytes = await readFile(archive);
    const damaged = join(scratch.path, 'damaged.clip');
    for (const at of [10, 54, 1000, bytes.length >> 1, bytes.length - 4096, bytes.length - 1]) {
      await writeFile(damaged, bytes);
      await truncate(damaged, at);
      expect((await commandError(['verify', damaged])).code).toMatch(/^ARCHIVE_(TRUNCATED|CORRUPT|NOT_CLIP)$/);
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] ?? 0) ^ 4;
      await writeFile(damaged, flipped);
      expect((await commandError(['verify', damaged])).code).toMatch(
        /^(ARCHIVE_(TRUNCATED|CORRUPT|NOT_CLIP)|FORMAT_TOO_NEW)$/,
      );
    }
  });

  test('a blob gone from the registry is LAYER_NOT_FOUND, names the stored reference and the override', async () => {
    await using gone = await FaultProxy.start(registry());
    gone.inject({ path: /\/blobs\// }, { kind: 'answer', status: 404, body: '{}' }, { times: 1000 });
    const cache = join(scratch.path, 'empty-cache');
    const error = await commandError([
      'cat',
      archive,
      '/blob',
      '--cache',
      cache,
      '--storage-ref',
      `${gone.address}/bad/mounted:x`,
    ]);
    expect(error).toMatchObject({ code: 'LAYER_NOT_FOUND', exitCode: 66 });
    expect(error.message).toContain(`${gone.address}/bad/mounted`);
    expect(error.message).toContain('--storage-ref');
  });

  test('a wrong byte from the registry never reaches the reader', async () => {
    await using lying = await FaultProxy.start(registry());
    lying.inject({ path: /\/blobs\// }, { kind: 'corruptResponse', atByte: 100 }, { times: 1000 });
    const result = await runCommand([
      'cat',
      archive,
      '/blob',
      '--cache',
      join(scratch.path, 'lying-cache'),
      '--storage-ref',
      `${lying.address}/bad/mounted:x`,
    ]);
    expect(result.exitCode).toBe(65);
    expect(result.stdout).toBe('');
  });

  test('files that are not there, and files that are no files', async () => {
    expect(await commandError(['cat', archive, '/nothing'])).toMatchObject({ code: 'PATH_NOT_FOUND' });
    expect(await commandError(['cat', archive, '/data'])).toMatchObject({ code: 'NOT_A_REGULAR_FILE' });
    expect(await commandError(['inspect', '/nonexistent.clip'])).toMatchObject({ code: 'PATH_NOT_FOUND' });
    expect(await commandError(['mount', 'nobody/nothing', scratch.path])).toMatchObject({
      code: 'STORE_OBJECT_NOT_FOUND',
    });
  });

  test('a mount point in use, or that is no folder', async () => {
    const mountpoint = join(scratch.path, 'busy');
    await mkdir(mountpoint);
    await commandJson(['mount', archive, mountpoint]);
    expect(await commandError(['mount', archive, mountpoint])).toMatchObject({
      code: 'MOUNT_POINT_IN_USE',
      exitCode: 73,
    });
    await commandJson(['umount', mountpoint]);
    expect(await commandError(['mount', archive, archive])).toMatchObject({ code: 'MOUNT_POINT_INVALID' });
    expect(await commandError(['umount', mountpoint])).toMatchObject({ code: 'MOUNT_NOT_FOUND' });
  });

  test('a cache on a filesystem that the kernel refuses', async () => {
    const mountpoint = join(scratch.path, 'on-tmpfs');
    await mkdir(mountpoint);
    const tmpfs = join(scratch.path, 'tmpfs');
    await mkdir(tmpfs);
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', tmpfs]);
    try {
      const error = await commandError(['mount', '--engine', 'erofs', archive, mountpoint], {
        CLIPYARD_STATE: tmpfs,
        CLIPYARD_CACHE: join(tmpfs, 'cache'),
      });
      expect(error).toMatchObject({ code: 'CACHE_FILESYSTEM_UNSUPPORTED', exitCode: 64 });
    } finally {
      execFileSync('umount', [tmpfs]);
    }
  });

  test('no FUSE, no privilege', async () => {
    const mountpoint = join(scratch.path, 'unprivileged');
    await mkdir(mountpoint);
    const clipyard = join(import.meta.dirname, '../../scripts/clipyard');
    // A daemon that runs already has what it needs: neither may find one.
    const env = { ...process.env, CLIPYARD_STATE: join(scratch.path, 'no-daemon') };
    const hidden = spawnSync(
      'unshare',
      [
        '-m',
        'sh',
        '-c',
        `mount -t tmpfs tmpfs /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9 && exec "${clipyard}" --json mount "${archive}" "${mountpoint}"`,
      ],
      { encoding: 'utf8', env },
    );
    expect(hidden.stderr).toContain('FUSE_UNAVAILABLE');
    const dropped = spawnSync(
      'setpriv',
      ['--inh-caps=-all', '--bounding-set=-all', clipyard, '--json', 'mount', '--engine', 'erofs', archive, mountpoint],
      { encoding: 'utf8', env },
    );
    expect(dropped.stderr).toContain('PRIVILEGE_REQUIRED');
    expect(dropped.status).toBe(77);
  });
});

function keys(): Record<string, string> {
  return Object.fromEntries(
    [
      'CLIPYARD_BUILDKIT',
      'CLIPYARD_REGISTRY',
      'CLIPYARD_STORE',
      'AWS_ACCESS_KEY_ID',
      'AWS_SECRET_ACCESS_KEY',
      'AWS_REGION',
      'AWS_ENDPOINT_URL',
    ].map((name) => [name, serviceSetting(name)]),
  );
}

/** A filesystem of a few megabytes on a loop device. */
async function smallDisk(
  path: string,
  megabytes: number,
): Promise<{ readonly path: string; readonly unmount: () => void }> {
  await mkdir(path, { recursive: true });
  const image = `${path}.img`;
  await writeFile(image, '');
  await truncate(image, megabytes * 1024 * 1024);
  execFileSync('mkfs.ext4', ['-q', image]);
  execFileSync('mount', ['-o', 'loop', image, path]);
  return { path, unmount: () => execFileSync('umount', [path]) };
}
