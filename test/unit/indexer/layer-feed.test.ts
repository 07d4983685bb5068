import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Digest, digestOf } from '../../../src/digest/index.ts';
import type { Cancelable } from '../../../src/errors/index.ts';
import { LayerFeed } from '../../../src/indexer/index.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

const signal = new AbortController().signal;
const digest = (name: string) => digestOf(Buffer.from(name));

let scratch: TemporaryDirectory;
beforeEach(async () => {
  scratch = await temporaryDirectory('feed');
});
afterEach(() => scratch[Symbol.asyncDispose]());

type Open = (digest: Digest, options: Cancelable) => AsyncGenerator<Buffer>;

const startFeed = (open: Open, width = 3) =>
  LayerFeed.start({
    directory: join(scratch.path, 'feed'),
    width,
    open: (wanted, options) => Promise.resolve(Readable.from(open(wanted, options), { objectMode: false })),
    onFailure: () => undefined,
    signal,
  });

async function ask(feed: LayerFeed, line: string): Promise<Socket> {
  const socket = connect(feed.source.slice('socket:'.length));
  await once(socket, 'connect');
  socket.write(line);
  return socket;
}

/** Time enough for the feed to see that a reader left. */
const settle = () => sleep(100);

/** A body that stands still after its first bytes, until it is told to go on or to stop. */
async function* halting({ signal: stopped }: Cancelable, goOn = new AbortController().signal) {
  yield Buffer.from('begun');
  const either = AbortSignal.any([stopped, goOn]);
  if (!either.aborted) await once(either, 'abort');
  stopped.throwIfAborted();
  for (;;) yield Buffer.from('more');
}

test('a reader gets the bytes of the blob it asks for, to their end', async () => {
  await using feed = await startFeed(async function* bytes(wanted) {
    yield Buffer.from(await Promise.resolve(wanted));
  });
  expect(await text(await ask(feed, `${digest('a')}\n`))).toBe(digest('a'));
});

test('a reader that leaves between two pieces does not keep the feed from closing', async () => {
  const goOn = new AbortController();
  const feed = await startFeed((_, options) => halting(options, goOn.signal));
  const reader = await ask(feed, `${digest('a')}\n`);
  await once(reader, 'data');
  reader.destroy();
  await settle();
  goOn.abort(); // what comes now has no reader
  await settle();
  await feed[Symbol.asyncDispose]();
});

test('a reader that leaves while its blob stands still makes room for the next', async () => {
  await using feed = await startFeed(async function* bytes(wanted, options) {
    if (wanted === digest('stalled')) yield* halting(options);
    else yield Buffer.from('served');
  }, 1);
  const reader = await ask(feed, `${digest('stalled')}\n`);
  await once(reader, 'data');
  reader.destroy();
  expect(await text(await ask(feed, `${digest('next')}\n`))).toBe('served');
});

test('neither silent readers, nor waiting ones, nor ones that do not read, keep the feed from closing', async () => {
  const feed = await startFeed(async function* bytes(wanted, options) {
    if (wanted === digest('stalled')) yield* halting(options);
    for (;;) {
      options.signal.throwIfAborted();
      yield Buffer.alloc(64 * 1024);
    }
  }, 2);
  const readers = [
    await ask(feed, ''),
    await ask(feed, 'sha256:'),
    await ask(feed, `${digest('stalled')}\n`),
    await ask(feed, `${digest('endless')}\n`),
    await ask(feed, `${digest('waiting')}\n`),
  ];
  for (const reader of readers) reader.on('error', () => undefined);
  await settle();
  await feed[Symbol.asyncDispose]();
  for (const reader of readers) reader.destroy();
});

test('a feed that nobody came to closes', async () => {
  const feed = await startFeed((_, options) => halting(options));
  await feed[Symbol.asyncDispose]();
});
