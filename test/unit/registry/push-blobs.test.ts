import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { digestOf } from '../../../src/digest/index.ts';
import { type BlobSource, type PushOptions, pushBlobs } from '../../../src/registry/index.ts';

const signal = new AbortController().signal;
const repository = { registry: 'r', repository: 'a' };
const blob = (name: string): BlobSource => ({ digest: digestOf(name), sizeBytes: 1, bytes: Buffer.from('x') });

function client(push: (source: BlobSource, options: PushOptions) => Promise<void>) {
  let now = 0;
  let most = 0;
  return {
    most: () => most,
    pushBlob: async (_: unknown, source: BlobSource, options: PushOptions) => {
      most = Math.max(most, ++now);
      try {
        await push(source, options);
      } finally {
        now--;
      }
      return 'sent' as const;
    },
  };
}

test('never more blobs are under way than the width, and each digest is pushed once', async () => {
  const pushed: string[] = [];
  const fake = client(async ({ digest }) => {
    await turn();
    pushed.push(digest);
  });
  const names = ['a', 'b', 'a', 'c', 'd', 'e', 'b'];
  const outcomes = await pushBlobs(fake, repository, names.map(blob), { width: 3, signal });
  expect(pushed.toSorted()).toEqual([...new Set(names)].map((name) => digestOf(name)).toSorted());
  expect([...outcomes.keys()].toSorted()).toEqual(pushed.toSorted());
  expect(fake.most()).toBe(3);
});

test('blobs may come one by one, while others are pushed already', async () => {
  const events: string[] = [];
  const fake = client(async ({ digest }) => {
    events.push(`push ${digest === digestOf('a') ? 'a' : 'b'}`);
    return Promise.resolve();
  });
  async function* packing() {
    yield blob('a');
    await turn();
    events.push('packed b');
    yield blob('b');
  }
  await pushBlobs(fake, repository, packing(), { width: 2, signal });
  expect(events).toEqual(['push a', 'packed b', 'push b']);
});

test('the first failure stops the others and is what is thrown', async () => {
  const failure = new Error('refused');
  const stopped: unknown[] = [];
  const fake = client(async ({ digest }, options) => {
    if (digest === digestOf('bad')) throw failure;
    await new Promise((_, reject) => {
      options.signal.addEventListener('abort', () => {
        stopped.push(options.signal.reason);
        reject(options.signal.reason as Error);
      });
    });
  });
  await expect(pushBlobs(fake, repository, ['slow', 'bad', 'never'].map(blob), { width: 2, signal })).rejects.toBe(
    failure,
  );
  expect(stopped).toEqual([failure]);
});

test('a failing source of blobs is what is thrown', async () => {
  const failure = new Error('pack failed');
  async function* packing() {
    yield blob('a');
    await turn();
    throw failure;
  }
  await expect(
    pushBlobs(
      client(async () => Promise.resolve()),
      repository,
      packing(),
      { width: 2, signal },
    ),
  ).rejects.toBe(failure);
});

test('a failure does not wait for a source that is still packing', async () => {
  const failure = new Error('refused');
  let released: () => void = () => undefined;
  async function* packing() {
    yield blob('a');
    await new Promise<void>((resolve) => {
      released = resolve;
    });
    yield blob('b');
  }
  const pushed: string[] = [];
  const fake = client(async ({ digest }) => {
    pushed.push(digest);
    await turn();
    throw failure;
  });
  await expect(pushBlobs(fake, repository, packing(), { width: 3, signal })).rejects.toBe(failure);
  released();
  await turn();
  expect(pushed).toEqual([digestOf('a')]);
});
