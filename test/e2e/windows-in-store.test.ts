import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { MountStat } from '../../src/mount/index.ts';
import { openStore } from '../../src/objects/index.ts';
import { commandJson } from '../support/command-line.ts';
import { content, tarEntry, tarStream, writeLayout } from '../support/corpus/index.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { pushLayout } from '../support/push-layout.ts';
import { serviceSetting } from '../support/services.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const stack = new AsyncDisposableStack();
const repository = `windows/store${process.pid}`;
const key = `windows/${process.pid}.clip`;
const FILES = 10;
let dir = '';
let url = '';
let registry: FaultProxy;
let store: FaultProxy;

/** 1.5 MB with many blocks that refer to what came before them. */
function repetitive(seed: number): Buffer {
  const repeated = content(seed, 500);
  return Buffer.concat(Array.from({ length: 150 }, (_, at) => [content(seed * 1000 + at, 9500), repeated]).flat());
}

beforeAll(async () => {
  dir = stack.use(await temporaryDirectory('windows')).path;
  registry = stack.use(await FaultProxy.start(serviceSetting('CLIPYARD_REGISTRY')));
  store = stack.use(await FaultProxy.start(new URL(serviceSetting('AWS_ENDPOINT_URL')).host));
  const entries = Array.from({ length: FILES }, (_, at) =>
    tarEntry({ type: '0', name: `file-${at}`, data: repetitive(at) }),
  );
  const layout = await writeLayout(join(dir, 'layout'), [tarStream(entries)], 'gzip', {
    encode: (tar) => gzipSync(tar, { level: 9 }),
  });
  await pushLayout(layout, { registry: serviceSetting('CLIPYARD_REGISTRY'), repository });
  const archive = join(dir, 'image.clip');
  const from = `oci:${join(dir, 'layout')}`;
  const storageRef = `${registry.address}/${repository}:latest`;
  await commandJson(['index', '--from', from, '--storage-ref', storageRef, '--output', archive], environment('index'));
  await using opened = openStore(serviceSetting('CLIPYARD_STORE'), process.env);
  await opened.putFile(key, archive, { signal: AbortSignal.timeout(30_000) });
  url = opened.urlOf(key);
});
afterAll(() => stack.disposeAsync());

function environment(name: string): Record<string, string> {
  return {
    AWS_ENDPOINT_URL: `http://${store.address}`,
    CLIPYARD_STATE: join(dir, `state-${name}`),
    CLIPYARD_CACHE: join(dir, `cache-${name}`),
  };
}

/** Mounts, reads the end of the last file with `use` in between, and gives what the mount then says of itself. */
async function readLast(name: string, use: () => void): Promise<MountStat> {
  const mountpoint = join(dir, name);
  await mkdir(mountpoint);
  await commandJson(['mount', url, mountpoint], environment(name));
  try {
    use();
    const wanted = repetitive(FILES - 1).subarray(-1000);
    await using file = await open(join(mountpoint, `file-${FILES - 1}`));
    const { buffer } = await file.read({ buffer: Buffer.alloc(1000), position: 1_500_000 - 1000 });
    expect(buffer.equals(wanted)).toBe(true);
    return await commandJson<MountStat>(['stat', mountpoint], environment(name));
  } finally {
    await commandJson(['umount', mountpoint], environment(name));
  }
}

test('windows of seek points stay in the store and are fetched one by one', async () => {
  const stat = await readLast('one-by-one', () => store.takeRequests());
  const blobBytes = gzipSync(repetitive(0), { level: 9 }).length * FILES;
  expect(stat.fetchedBytes).toBeLessThan(blobBytes / 3);
  const asked = store.takeRequests().filter(({ path }) => path.includes(key));
  expect(asked.length).toBeGreaterThan(0);
  for (const { method, range } of asked) {
    expect(method).toBe('GET');
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? [];
    expect(Number(last) - Number(first)).toBeLessThan(40_000);
  }
});

test('a window that the store does not give costs bytes, and no data is wrong', async () => {
  const stat = await readLast('refused', () => {
    store.inject({ path: /windows/ }, { kind: 'answer', status: 403 }, { times: 1000 });
  });
  expect(stat.fetchedBytes).toBeGreaterThan(0);
});
