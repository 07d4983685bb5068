import { expect, test } from 'vitest';
import { openStore } from '../../../src/objects/index.ts';

const env = { AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' };

test.for<[url: string, opened: string, object: string]>([
  ['s3://bucket', 's3://bucket', 's3://bucket/archives/x'],
  ['s3://bucket/', 's3://bucket', 's3://bucket/archives/x'],
  ['s3://bucket/a/b/', 's3://bucket/a/b', 's3://bucket/a/b/archives/x'],
  ['file:///srv/store', 'file:///srv/store', 'file:///srv/store/archives/x'],
  ['file:///srv/with%20space', 'file:///srv/with%20space', 'file:///srv/with%20space/archives/x'],
])('%s opens as %s', async ([url, opened, object]) => {
  await using store = openStore(url, env);
  expect(store.url).toBe(opened);
  expect(store.urlOf('archives/x')).toBe(object);
});

test.for([
  '',
  'bucket/prefix',
  '/srv/store',
  'http://host/bucket',
  's3://',
  's3://Bucket',
  's3://bucket/a/../../b%2F..%2Fc',
  's3://key:secret@bucket',
  's3://bucket?endpoint=x',
  'file://host/srv',
  'file:///a%2Fb',
])('%j is no store', (url) => {
  expect(() => openStore(url, env)).toThrow(expect.objectContaining({ category: 'invalid' }));
});

test('a secret in the address is not repeated in the error', () => {
  expect(() => openStore('s3://key:hunter2@bucket', env)).toThrow(expect.not.stringContaining('hunter2'));
});
