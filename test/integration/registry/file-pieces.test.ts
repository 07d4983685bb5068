import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { open, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { request } from 'undici';
import { expect, test } from 'vitest';
import { filePieces } from '../../../src/registry/file-pieces.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

test('a receiver that is slower than the disk gets every byte, though buffers are used again', async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'blob');
  const content = randomBytes(8 * 1024 * 1024 + 4321);
  await writeFile(path, content);
  const received = createHash('sha256');
  await using server = createServer((incoming, response) => {
    void (async () => {
      for await (const chunk of incoming as AsyncIterable<Buffer>) {
        received.update(chunk);
        await sleep(1);
      }
      response.end();
    })();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await using file = await open(path);
  const start = 17;
  const answer = await request(`http://127.0.0.1:${port}/`, {
    method: 'PUT',
    headers: { 'content-length': String(content.length - start) },
    body: filePieces(file.fd, { start, end: content.length, path }) as unknown as Readable, // any async iterable will do
  });
  await answer.body.dump();
  expect(received.digest('hex')).toBe(createHash('sha256').update(content.subarray(start)).digest('hex'));
});
