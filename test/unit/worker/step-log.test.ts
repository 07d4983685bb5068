import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openStore, readObject } from '../../../src/objects/index.ts';
import { silentLog } from '../../../src/telemetry/index.ts';
import { logPrefix, StepLogWriter } from '../../../src/worker/logs/step-log-writer.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const { signal } = new AbortController();

test('a log keeps every line up to its limit, counts the others, and leaves no file behind', async () => {
  await using scratch = await temporaryDirectory('step-log');
  await using store = openStore(`file://${scratch.path}/store`, {});
  const directory = join(scratch.path, 'waiting');
  const prefix = logPrefix('team', 'job', 2);
  const [chunkBytes, maxBytes] = [100_000, 300_000];
  const writer = new StepLogWriter({ store, directory, prefix, chunkBytes, maxBytes, log: silentLog() });
  const line = (at: number) =>
    ({ timeMs: at, step: 1, stream: 'stdout', text: `line ${at} ${'x'.repeat(1000)}` }) as const;
  const count = 400;
  for (let at = 0; at < count; at += 1) writer.write(line(at));
  expect(await writer.close({ signal })).toBe(store.urlOf(`${prefix}/index.json`));
  const read = async (name: string) => {
    const { bytes } = await readObject(store, `${prefix}/${name}`, { signal, maxBytes: 1 << 20 });
    return Buffer.from(bytes).toString();
  };
  const index = JSON.parse(await read('index.json')) as Record<'bytes' | 'chunks' | 'cutLines' | 'lines', number>;
  expect(index.bytes).toBeLessThanOrEqual(maxBytes);
  expect(index.bytes).toBeGreaterThan(maxBytes - 1100);
  expect(index.lines + index.cutLines).toBe(count);
  expect(index.chunks).toBeGreaterThan(1);
  const names = Array.from({ length: index.chunks }, (_, at) => `${String(at + 1).padStart(5, '0')}.jsonl`);
  const kept = (await Promise.all(names.map(read))).join('').trimEnd().split('\n');
  expect(kept.map((text) => JSON.parse(text) as unknown)).toEqual(
    Array.from({ length: index.lines }, (_, at) => line(at)),
  );
  expect(await readdir(scratch.path)).toEqual(['store']);
});

test('a log that the store does not take is told, and costs the build nothing', async () => {
  await using scratch = await temporaryDirectory('step-log');
  await using store = openStore(`file://${scratch.path}/store`, {});
  const broken = Object.assign(Object.create(store) as typeof store, {
    putFile: () => Promise.reject(new RangeError('the store is away')),
  });
  const said: object[] = [];
  const log = { ...silentLog(), warn: (line: object) => said.push(line) } as never;
  const directory = join(scratch.path, 'waiting');
  const writer = new StepLogWriter({ store: broken, directory, prefix: 'p', chunkBytes: 10, maxBytes: 1000, log });
  writer.write({ timeMs: 1, step: 1, stream: 'stderr', text: 'printed' });
  expect(await writer.close({ signal })).toBeUndefined();
  expect(said).toMatchObject([{ prefix: 'p', reason: expect.stringContaining('the store is away') as string }]);
  expect(await readdir(scratch.path)).not.toContain('waiting');
});
