import { randomBytes, randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { CreateMultipartUploadCommand, ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3';
import { expect, test } from 'vitest';
import { freePort } from '../../../scripts/services/ports.ts';
import { openStore } from '../../../src/objects/index.ts';
import { describeObjectStore } from '../../conformance/object-store.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { serviceSetting } from '../../support/services.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const signal = new AbortController().signal;
const env = process.env;
const endpoint = () => serviceSetting('AWS_ENDPOINT_URL');
const bucketUrl = () => new URL(serviceSetting('CLIPYARD_STORE'));
const newPrefix = () => `s3://${bucketUrl().host}/test/${randomUUID()}`;

describeObjectStore('s3', async () => openStore(newPrefix(), env));

const operations = ['check', 'head', 'get', 'put', 'list'] as const;

async function run(
  operation: (typeof operations)[number],
  url: string,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<void> {
  await using store = openStore(url, environment);
  if (operation === 'check') await store.check({ signal });
  else if (operation === 'head') await store.head('a/b', { signal });
  else if (operation === 'get') await store.get('a/b', { signal });
  else if (operation === 'put') await store.put('a/b', 'x', { signal });
  else await store.list('', { signal })[Symbol.asyncIterator]().next();
}

test.for(['check', 'get', 'put', 'list'] as const)('a bucket that does not exist is named by %s', async (operation) => {
  await expect(run(operation, 's3://no-such-bucket-here/x', env)).rejects.toMatchObject({
    code: 'STORE_BUCKET_NOT_FOUND',
  });
});

test.for(operations)('a wrong secret is refused by %s', async (operation) => {
  await expect(run(operation, newPrefix(), { ...env, AWS_SECRET_ACCESS_KEY: 'wrong' })).rejects.toMatchObject({
    code: 'STORE_DENIED',
    details: { status: 403 },
  });
});

test.for(operations)('an unknown key is refused by %s', async (operation) => {
  await expect(run(operation, newPrefix(), { ...env, AWS_ACCESS_KEY_ID: 'NOBODY' })).rejects.toMatchObject({
    code: 'STORE_DENIED',
    details: { status: 403 },
  });
});

test('a store that nobody runs is unavailable', async () => {
  const nobody = `http://127.0.0.1:${await freePort()}`;
  await expect(run('put', newPrefix(), { ...env, AWS_ENDPOINT_URL: nobody })).rejects.toMatchObject({
    code: 'STORE_UNAVAILABLE',
    retryable: true,
  });
});

test('a large file goes up in parts that carry checksums, and a wrong digest drops them all', async () => {
  await using proxy = await FaultProxy.start(new URL(endpoint()).host);
  await using directory = await temporaryDirectory('multipart');
  const url = newPrefix();
  await using store = openStore(url, { ...env, AWS_ENDPOINT_URL: `http://${proxy.address}` });
  const path = join(directory.path, 'file');
  await writeFile(path, randomBytes(20 * 1024 * 1024));

  await store.putFile('a/large', path, { signal });
  const parts = proxy.takeRequests().filter(({ query }) => query.includes('partNumber='));
  expect(parts).toHaveLength(3);
  for (const { headers, query } of parts) {
    expect(headers['x-amz-checksum-crc32'] ?? headers['x-amz-trailer'], query).toBeDefined();
  }

  const wrong = `sha256:${'0'.repeat(64)}` as never;
  await expect(store.putFile('a/wrong', path, { sha256: wrong, signal })).rejects.toMatchObject({
    code: 'BLOB_MISMATCH',
  });
  expect(await store.head('a/wrong', { signal })).toBeUndefined();
  const prefix = new URL(url).pathname.slice(1);
  using client = disposable(new S3Client({ endpoint: endpoint(), forcePathStyle: true, region: 'us-east-1' }));
  const { Uploads: uploads = [] } = await client.client.send(
    new ListMultipartUploadsCommand({ Bucket: bucketUrl().host }),
  );
  expect(uploads.filter(({ Key: key }) => key?.startsWith(prefix))).toEqual([]);
});

test('an aborted upload ends with its reason and leaves no object and no parts', async () => {
  await using proxy = await FaultProxy.start(new URL(endpoint()).host);
  await using directory = await temporaryDirectory('aborted');
  const url = newPrefix();
  await using store = openStore(url, { ...env, AWS_ENDPOINT_URL: `http://${proxy.address}` });
  const path = join(directory.path, 'file');
  await writeFile(path, randomBytes(40 * 1024 * 1024));
  const abort = new AbortController();
  proxy.inject({ method: 'PUT' }, { kind: 'delay', delayMs: 300 }, { times: 1 });
  const reason = new Error('enough');
  const put = store.putFile('a/large', path, { signal: abort.signal });
  setTimeout(() => {
    abort.abort(reason);
  }, 100);
  await expect(put).rejects.toBe(reason);
  expect(await store.head('a/large', { signal })).toBeUndefined();
  using client = disposable(new S3Client({ endpoint: endpoint(), forcePathStyle: true, region: 'us-east-1' }));
  const { Uploads: uploads = [] } = await client.client.send(
    new ListMultipartUploadsCommand({ Bucket: bucketUrl().host }),
  );
  expect(uploads.filter(({ Key: key }) => key?.startsWith(new URL(url).pathname.slice(1)))).toEqual([]);
});

test('what killed writers left is dropped by its age, in this store alone', async () => {
  const [url, beside] = [newPrefix(), newPrefix()];
  await using store = openStore(url, env);
  using client = disposable(new S3Client({ endpoint: endpoint(), forcePathStyle: true, region: 'us-east-1' }));
  const Bucket = bucketUrl().host;
  const folderOf = (address: string) => new URL(address).pathname.slice(1);
  for (const key of [`${folderOf(url)}/a/1`, `${folderOf(url)}/b`, `${folderOf(beside)}/a`])
    await client.client.send(new CreateMultipartUploadCommand({ Bucket, Key: key }));
  const left = async (address: string) => {
    const { Uploads: uploads = [] } = await client.client.send(new ListMultipartUploadsCommand({ Bucket }));
    return uploads.filter(({ Key: key }) => key?.startsWith(folderOf(address))).length;
  };
  expect(await store.dropUnfinished(Date.now() - 3_600_000, { signal })).toBe(0);
  expect(await left(url)).toBe(2);
  expect(await store.dropUnfinished(Date.now() + 3_600_000, { signal })).toBe(2);
  expect([await left(url), await left(beside)]).toEqual([0, 1]);
  await using other = openStore(beside, env);
  expect(await other.dropUnfinished(Date.now() + 3_600_000, { signal })).toBe(1);
});

test('a listing goes on over its pages of a thousand', async () => {
  await using store = openStore(newPrefix(), env);
  const keys = Array.from({ length: 1100 }, (_, at) => `many/${at}`);
  for (let at = 0; at < keys.length; at += 50) {
    await Promise.all(keys.slice(at, at + 50).map((key) => store.put(key, '', { signal })));
  }
  const found: string[] = [];
  for await (const { key } of store.list('many/', { signal })) found.push(key);
  expect(found.toSorted()).toEqual(keys.toSorted());
});

test('a put whose first try meets a 503 is tried again', async () => {
  await using proxy = await FaultProxy.start(new URL(endpoint()).host);
  await using store = openStore(newPrefix(), { ...env, AWS_ENDPOINT_URL: `http://${proxy.address}` });
  proxy.inject({ method: 'PUT' }, { kind: 'answer', status: 503, body: '<Error><Code>SlowDown</Code></Error>' });
  await store.put('a/b', 'x', { signal });
  expect(proxy.takeRequests().map(({ status }) => status)).toEqual([503, 200]);
});

test.for(['cutResponse', 'corruptResponse'] as const)(
  'a body that is damaged on the way (%s) never ends well',
  async (kind) => {
    await using proxy = await FaultProxy.start(new URL(endpoint()).host);
    await using store = openStore(newPrefix(), { ...env, AWS_ENDPOINT_URL: `http://${proxy.address}` });
    await store.put('a/b', randomBytes(100_000), { signal });
    proxy.inject({ method: 'GET' }, kind === 'cutResponse' ? { kind, afterBytes: 50_000 } : { kind, atByte: 50_000 }, {
      times: 5,
    });
    const { body } = await store.get('a/b', { signal });
    await expect(buffer(body)).rejects.toMatchObject({
      code: kind === 'cutResponse' ? 'STORE_UNAVAILABLE' : 'BLOB_MISMATCH',
    });
  },
);

function disposable(client: S3Client): Disposable & { readonly client: S3Client } {
  return {
    client,
    [Symbol.dispose]: () => {
      client.destroy();
    },
  };
}
