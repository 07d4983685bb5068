import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { expect, test } from 'vitest';

import { buildJson } from '../support/command-line.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { serviceSetting } from '../support/services.ts';
import { smallContext } from '../support/small-context.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

test('a layer that is pushed while it is packed goes over the wire once, at a level of its own choice', async () => {
  await using scratch = await temporaryDirectory('large-layer');
  await using proxy = await FaultProxy.start(serviceSetting('CLIPYARD_REGISTRY'));
  const imageId = `large_${process.pid}`;
  // Fresh random content, so that nobody has anything of it; large enough to be followed.
  const context = await smallContext(join(scratch.path, 'context'), randomBytes(20_000_000).toString('base64'));
  const flags = ['--context', context, '--workspace', 'e2e', '--image-id', imageId];
  const target = ['--registry', `${proxy.address}/e2e/${imageId}`, '--compression', 'auto'];
  const first = await buildJson([...flags, ...target]);
  expect(first.compression).toMatchObject({ codec: 'zstd', level: 'auto', reason: expect.any(String) as string });
  expect(first.compression.levels[0]).toBe(1);
  const large = first.layers.find(({ sizeBytes }) => sizeBytes > 15_000_000);
  expect(large).toMatchObject({ packed: 'new', pushed: 'sent' });
  const requests = proxy.takeRequests();
  expect(requests.filter(({ method }) => method === 'PATCH').length).toBeGreaterThan(0);
  expect(requests.reduce((sum, { requestBytes }) => sum + requestBytes, 0)).toBeLessThan(first.bytesPushed + 20_000);

  const again = await buildJson([...flags, ...target]);
  expect(again.manifestDigest).toBe(first.manifestDigest);
  expect(again).toMatchObject({ bytesPushed: 0, compression: { levels: [], reason: 'nothing was packed' } });
  const blobRequests = proxy.takeRequests().filter(({ path }) => path.includes('/blobs/'));
  expect(blobRequests.filter(({ method }) => method !== 'HEAD')).toEqual([]);
});
