import { expect, test } from 'vitest';
import type { SyncReport } from '../../../src/buildkit/context/context-sender.ts';
import type { ContextSource, OpenFile } from '../../../src/buildkit/context/context-source.ts';
import { type ContextEntry, goMode } from '../../../src/buildkit/context/entry.ts';
import { fileSyncHandlers } from '../../../src/buildkit/context/file-sync.ts';
import { PACKET } from '../../../src/buildkit/context/packet.ts';
import { Packet } from '../../../src/gen/github.com/tonistiigi/fsutil/types/wire.ts';
import { TestDaemon } from './rpc-client.ts';

const METHOD = '/moby.filesync.v1.FileSync/DiffCopy';

/** A tree whose files behave as a test wants. */
class StubTree implements ContextSource {
  readonly links = { readLink: () => undefined, readNames: () => [] };
  readonly #files: ReadonlyMap<string, { readonly sizeBytes: number; readonly open: () => OpenFile | undefined }>;

  constructor(files: Record<string, { readonly sizeBytes: number; readonly open: () => OpenFile | undefined }>) {
    this.#files = new Map(Object.entries(files));
  }

  *entries(): Generator<ContextEntry, void> {
    for (const [path, { sizeBytes }] of this.#files) {
      yield { path, mode: goMode(0o100644), sizeBytes, modifiedNs: 1n, linkName: undefined, device: undefined };
    }
  }

  open({ path }: ContextEntry): OpenFile | undefined {
    return this.#files.get(path)?.open();
  }
}

function fileOf(content: string, isUnchanged = true): OpenFile {
  const bytes = Buffer.from(content);
  let at = 0;
  return {
    read: (into) => {
      const count = bytes.copy(into, 0, at);
      at += count;
      return count;
    },
    isUnchanged: () => isUnchanged,
    [Symbol.dispose]: () => undefined,
  };
}

function daemonFor(source: ContextSource) {
  const reports: SyncReport[] = [];
  const limits = { maxEntries: 1000, maxBytes: 1e9 };
  const onSynced = (report: SyncReport) => reports.push(report);
  return {
    daemon: new TestDaemon(fileSyncHandlers({ sources: new Map([['context', source]]), limits, onSynced })),
    reports,
  };
}

const packet = (type: number, id = 0) => Packet.encode(Packet.fromPartial({ type: type as 0, ID: id })).finish();

/** Asks for every file, as a daemon does that has none. */
async function receive(daemon: TestDaemon, requests: readonly number[]) {
  const call = daemon.open(METHOD, { 'dir-name': 'context' });
  for (const id of requests) call.send(packet(PACKET.request, id));
  const paths: string[] = [];
  const contents = new Map<number, string>();
  let ended = 0;
  let failure: string | undefined;
  for (let bytes = await call.next(); bytes !== undefined; bytes = await call.next()) {
    const { data, ID: id, stat, type } = Packet.decode(bytes);
    if (type === PACKET.stat && stat !== undefined) paths.push(stat.path);
    if (type === PACKET.data && data.length > 0) contents.set(id, `${contents.get(id) ?? ''}${data.toString()}`);
    if (type === PACKET.data && data.length === 0) ended++;
    if (type === PACKET.failed) failure = data.toString();
    if (ended === requests.length && type === PACKET.data) call.send(packet(PACKET.finished));
  }
  return { paths, contents: Object.fromEntries(contents), failure, status: (await call.finish()).status };
}

test('a file that is asked for comes in pieces and then ends', async () => {
  const large = 'x'.repeat(300_000);
  const tree = new StubTree({
    a: { sizeBytes: 3, open: () => fileOf('one') },
    b: { sizeBytes: large.length, open: () => fileOf(large) },
    c: { sizeBytes: 0, open: () => undefined },
  });
  const { daemon, reports } = daemonFor(tree);
  using _closing = daemon;
  const got = await receive(daemon, [1, 0, 2]);
  expect(got).toEqual({ paths: ['a', 'b', 'c'], contents: { 0: 'one', 1: large }, failure: undefined, status: '0' });
  expect(reports).toEqual([{ name: 'context', entries: 3, filesSent: 3, bytesSent: 300_003 }]);
});

test.for<[what: string, open: () => OpenFile | undefined]>([
  ['vanished', () => undefined],
  ['became shorter', () => fileOf('x')],
  ['changed', () => fileOf('abcdef', false)],
])('a file that %s while it was sent fails the sync', async ([what, open]) => {
  const { daemon, reports } = daemonFor(new StubTree({ 'dir/f': { sizeBytes: 6, open } }));
  using _closing = daemon;
  const { failure, status } = await receive(daemon, [0]);
  expect([failure, status]).toEqual([`dir/f ${what} while it was sent`, '2']);
  expect(daemon.failures).toMatchObject([{ code: 'CONTEXT_CHANGED', details: { path: 'dir/f' } }]);
  expect(reports).toEqual([]);
});

test('a file that grew is sent as long as it was announced, then found changed', async () => {
  const { daemon } = daemonFor(new StubTree({ f: { sizeBytes: 3, open: () => fileOf('abcdef', false) } }));
  using _closing = daemon;
  expect((await receive(daemon, [0])).contents).toEqual({ 0: 'abc' });
  expect(daemon.failures).toMatchObject([{ code: 'CONTEXT_CHANGED' }]);
});

test('a file that was not announced, or asked for twice, is a broken protocol', async () => {
  for (const requests of [[7], [0, 0]]) {
    const { daemon } = daemonFor(new StubTree({ f: { sizeBytes: 1, open: () => fileOf('a') } }));
    using _closing = daemon;
    await receive(daemon, requests);
    expect(daemon.failures).toMatchObject([{ code: 'BUILDKIT_PROTOCOL' }]);
  }
});

test('a tree of another name is refused', async () => {
  const { daemon } = daemonFor(new StubTree({}));
  using _closing = daemon;
  const { message, status } = await daemon.call(METHOD, { 'dir-name': '/etc' });
  expect([status, message]).toEqual(['5', 'no access allowed to dir "/etc"']);
});
