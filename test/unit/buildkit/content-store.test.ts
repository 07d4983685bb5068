import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { contentReadHandlers } from '../../../src/buildkit/cache/content-store.ts';
import { digestOf } from '../../../src/digest/index.ts';
import {
  InfoRequest,
  InfoResponse,
  ReadContentRequest,
  ReadContentResponse,
} from '../../../src/gen/github.com/containerd/containerd/api/services/content/v1/content.ts';
import { OciLayout } from '../../../src/oci/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { TestDaemon } from './rpc-client.ts';

const { signal } = new AbortController();
const SERVICE = '/containerd.services.content.v1.Content';
const STORE = { 'buildkit-attachable-store-id': 'local:import-0' };
const stack = new AsyncDisposableStack();
const small = randomBytes(3000);
const large = randomBytes(5 * 1024 * 1024 + 7);
let layout: OciLayout;
let daemon: TestDaemon;

beforeAll(async () => {
  const { path } = stack.use(await temporaryDirectory('content-store'));
  layout = await OciLayout.open(join(path, 'layout'), { create: true, signal });
  for (const bytes of [small, large])
    await layout.addBlob(bytes, { digest: digestOf(bytes), sizeBytes: bytes.length }, { signal });
  daemon = new TestDaemon(contentReadHandlers(new Map([['local:import-0', layout]])));
});
afterAll(async () => {
  daemon[Symbol.dispose]();
  await stack.disposeAsync();
});

async function read(digest: string, offset = 0, size = 0, headers: object = STORE) {
  const request = ReadContentRequest.encode({ digest, offset: BigInt(offset), size: BigInt(size) }).finish();
  const { messages, status } = await daemon.call(`${SERVICE}/Read`, { ...headers }, [request]);
  const pieces = messages.map((bytes) => ReadContentResponse.decode(bytes));
  return { status, pieces, bytes: Buffer.concat(pieces.map(({ data }) => data)) };
}

async function info(digest: string, headers: object = STORE) {
  const request = InfoRequest.encode({ digest }).finish();
  const { messages, status } = await daemon.call(`${SERVICE}/Info`, { ...headers }, [request]);
  return { status, sizeBytes: messages.map((bytes) => InfoResponse.decode(bytes).info?.size)[0] };
}

test('a blob is told by its size and read in pieces', async () => {
  expect(await info(digestOf(large))).toEqual({ status: '0', sizeBytes: BigInt(large.length) });
  const { bytes, pieces, status } = await read(digestOf(large));
  expect([status, bytes.equals(large), pieces.length]).toEqual(['0', true, 6]);
  expect(pieces.map(({ offset }) => Number(offset))).toEqual([0, 1, 2, 3, 4, 5].map((at) => at * 1024 * 1024));
});

test.for<[name: string, offset: number, size: number, from: number, to: number]>([
  ['small', 10, 20, 10, 30],
  ['small', 2990, 1000, 2990, 3000],
  ['small', 3000, 0, 3000, 3000],
  ['large', 1_000_000, 2_500_000, 1_000_000, 3_500_000],
])('the range of %s from %i, %i bytes long', async ([name, offset, size, from, to]) => {
  const bytes = name === 'small' ? small : large;
  expect((await read(digestOf(bytes), offset, size)).bytes.equals(bytes.subarray(from, to))).toBe(true);
});

test('a range behind the end is refused', async () => {
  expect((await read(digestOf(small), 3001)).status).toBe('11');
});

test.for([['sha256:../../../../etc/passwd'], ['../index.json'], [''], [`sha256:${'0'.repeat(64)}`]])(
  'there is no blob %j',
  async ([digest]) => {
    expect((await read(digest!)).status).toBe('5');
    expect((await info(digest!)).status).toBe('5');
  },
);

test('another store is not served', async () => {
  for (const headers of [{}, { 'buildkit-attachable-store-id': 'local:/etc' }]) {
    expect((await read(digestOf(small), 0, 0, headers)).status).toBe('5');
    expect((await info(digestOf(small), headers)).status).toBe('5');
  }
});

test('a small blob with other bytes than its name says is not sent', async () => {
  const path = layout.blobPath(digestOf(small));
  const bytes = await readFile(path);
  await writeFile(path, Buffer.from(bytes).fill(0, 0, 10));
  const { bytes: sent, status } = await read(digestOf(small));
  expect([status === '0', sent.length]).toEqual([false, 0]);
  await writeFile(path, bytes);
});
