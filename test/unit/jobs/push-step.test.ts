import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Digest, digestOf } from '../../../src/digest/index.ts';
import { PhaseClock } from '../../../src/jobs/phases.ts';
import { Pusher, type PusherOptions } from '../../../src/jobs/push-step.ts';
import { GrowingBlob } from '../../../src/registry/index.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

type Client = PusherOptions['client'];

let scratch: TemporaryDirectory;
beforeAll(async () => {
  scratch = await temporaryDirectory('pusher');
});
afterAll(() => scratch[Symbol.asyncDispose]());

const blob = (name: string) => ({ digest: digestOf(name), sizeBytes: 10, path: `/blobs/${name}` });

/** A registry that takes what it is given in zero time, or as a test wants. */
function fakeClient(over: Partial<Client> = {}): Client {
  return {
    pushBlob: () => Promise.resolve('sent'),
    pushGrowing: async (_, growing, { signal, turn: inTurn = (work) => work() }) => {
      const { final } = await growing.atLeast(Number.POSITIVE_INFINITY, { signal });
      await inTurn(() => Promise.resolve());
      return { outcome: 'sent', sentBytes: final?.sizeBytes ?? 0 };
    },
    ...over,
  };
}

function newPusher(client: Client, width = 1) {
  const failure = new AbortController();
  const pusher = new Pusher({
    client,
    target: { registry: 'r', repository: 'a' },
    mountFrom: [],
    inRegistry: () => Promise.resolve(true),
    width,
    clock: new PhaseClock(() => 0),
    report: () => undefined,
    onFailure: (reason) => {
      failure.abort(reason);
    },
    signal: failure.signal,
  });
  return { pusher, failure };
}

async function growing(name: string): Promise<GrowingBlob> {
  const path = join(scratch.path, name);
  await writeFile(path, name);
  return new GrowingBlob(path);
}

test('each digest is pushed once, never more at a time than the width', async () => {
  let now = 0;
  let most = 0;
  const pushed: Digest[] = [];
  const client = fakeClient({
    pushBlob: async (_, { digest }) => {
      most = Math.max(most, ++now);
      await turn();
      now--;
      pushed.push(digest);
      return 'sent';
    },
  });
  const { pusher } = newPusher(client, 3);
  for (const name of ['a', 'b', 'a', 'c', 'd', 'e', 'b']) pusher.push(blob(name));
  const outcomes = await pusher.drain();
  expect(pushed.toSorted()).toEqual([...outcomes.keys()].toSorted());
  expect(outcomes.size).toBe(5);
  expect(most).toBe(3);
  expect(pusher.bytesSent).toBe(50);
});

test('a blob that grows keeps no place: what is finished goes first', async () => {
  const { pusher } = newPusher(fakeClient(), 1);
  const slow = await growing('slow');
  pusher.follow(slow, digestOf('layer'));
  pusher.push(blob('done'));
  await expect.poll(() => pusher.bytesSent).toBe(10);
  slow.finish({ digest: digestOf('slow'), sizeBytes: 4 });
  expect([...(await pusher.drain()).keys()]).toEqual([digestOf('done')]);
  expect(pusher.bytesSent).toBe(14);
});

test('what was followed is not pushed again when it is done', async () => {
  const pushed: Digest[] = [];
  const client = fakeClient({
    pushBlob: (_, { digest }) => {
      pushed.push(digest);
      return Promise.resolve('sent');
    },
  });
  const { pusher } = newPusher(client);
  const followed = await growing('followed');
  pusher.follow(followed, digestOf('layer'));
  followed.finish({ digest: digestOf('followed'), sizeBytes: 8 });
  pusher.push({ ...blob('followed'), sizeBytes: 8 });
  expect(await pusher.drain()).toEqual(new Map([[digestOf('followed'), 'sent']]));
  expect(pushed).toEqual([]);
});

test('a failure is told when it happens, before anybody drains', async () => {
  const failure = new Error('refused');
  const { pusher, failure: told } = newPusher(fakeClient({ pushBlob: () => Promise.reject(failure) }));
  pusher.push(blob('bad'));
  await expect.poll(() => told.signal.reason as unknown).toBe(failure);
  await expect(pusher.drain()).rejects.toBe(failure);
});

test('after a failure nothing new begins, and what is followed ends', async () => {
  const failure = new Error('refused');
  const begun: Digest[] = [];
  const client = fakeClient({
    pushBlob: (_, { digest }) => {
      begun.push(digest);
      return Promise.reject(failure);
    },
  });
  const { pusher } = newPusher(client);
  const slow = await growing('never-finished');
  pusher.follow(slow, digestOf('layer'));
  for (const name of ['bad', 'next', 'last']) pusher.push(blob(name));
  await pusher.abandon();
  expect(begun).toEqual([digestOf('bad')]);
});

test('the meter knows what waits and what has moved', async () => {
  const { promise: released, resolve: release } = Promise.withResolvers<undefined>();
  const client = fakeClient({
    pushBlob: async (_, __, { onProgress }) => {
      onProgress?.(4);
      await released;
      return 'sent';
    },
  });
  const { pusher } = newPusher(client);
  pusher.push(blob('a'));
  await expect.poll(() => pusher.meter.movedBytes).toBe(4);
  expect(pusher.meter.waitingBytes).toBe(6);
  release(undefined);
  await pusher.drain();
  expect(pusher.meter.waitingBytes).toBe(0);
});
