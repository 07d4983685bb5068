import { expect, test } from 'vitest';
import { digestOf } from '../../../src/digest/index.ts';
import { type ErrorCode, WorkerError } from '../../../src/errors/index.ts';
import { makeVisible, type VisibleContext } from '../../../src/jobs/make-visible.ts';
import { readPointer, storeKeys } from '../../../src/jobs/publish.ts';
import { openStore } from '../../../src/objects/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const bytes = Buffer.from('{}');
const digest = digestOf(bytes);
const archive = { digest, sizeBytes: 1, storageRef: 'r/a:team-web', footerDigest: digest, manifestDigest: digest };
const visible = {
  target: { registry: 'r', repository: 'a' },
  tag: 'team-web',
  key: storeKeys.pointer('team', 'web'),
  storageRef: archive.storageRef,
  before: undefined,
  content: { indexDigest: digest, archives: { 'linux/amd64': archive } },
  top: { digest, bytes, mediaType: 'application/vnd.oci.image.manifest.v1+json' },
};

test.for<[when: 'before' | 'after', code: ErrorCode, left: readonly string[]]>([
  ['before', 'BUILD_CANCELED', []],
  ['after', 'BUILD_CANCELED', ['pointer', 'tag']],
  ['after', 'WORKER_DRAINING', ['pointer', 'tag']],
  ['after', 'LEASE_LOST', ['pointer']],
])('a build that is stopped %s its pointer with %s leaves %j', async ([when, code, left]) => {
  await using directory = await temporaryDirectory();
  await using store = openStore(`file://${directory.path}`, {});
  const stop = new AbortController();
  const tags: string[] = [];
  const client = {
    putManifest: (_: unknown, tag: string, __: unknown, mediaType: string) => {
      tags.push(tag);
      return Promise.resolve({ mediaType, digest, size: bytes.length });
    },
  } as unknown as VisibleContext['client'];
  const reason = new WorkerError(code, 'stopped');
  const report = (event: object) => {
    if ('what' in event && event.what === 'pointer') stop.abort(reason);
  };
  if (when === 'before') stop.abort(reason);
  const making = makeVisible(visible, { client, store, report, signal: stop.signal });
  if (left.includes('tag')) expect(await making).toBe(1);
  else await expect(making).rejects.toBe(reason);
  const pointer = await readPointer(store, visible.key, { signal: new AbortController().signal });
  expect(pointer !== undefined).toBe(left.includes('pointer'));
  expect(tags).toEqual(left.includes('tag') ? ['team-web'] : []);
});
