import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { lockFile } from '../../../src/files/index.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

const signal = new AbortController().signal;
const modulePath = join(import.meta.dirname, '../../../src/files/index.ts');
let directory: TemporaryDirectory;

beforeAll(async () => {
  directory = await temporaryDirectory('lock');
});
afterAll(async () => {
  await directory[Symbol.asyncDispose]();
});

const lock = (name: string, waitMs: number, by: AbortSignal = signal) =>
  lockFile(join(directory.path, name), { waitMs, signal: by, code: 'LAYOUT_LOCKED' });

/** Another process that takes the lock, says so, and holds it until it is killed. */
async function holder(name: string) {
  const script = `
    import { lockFile } from ${JSON.stringify(modulePath)};
    const held = await lockFile(process.argv[1], { waitMs: 0, signal: new AbortController().signal, code: 'LAYOUT_LOCKED' });
    console.log('held');
    setInterval(() => held, 1000);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, join(directory.path, name)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  expect(line).toBe('held');
  return child;
}

test('one holder at a time inside a process, the next one waits for it', async () => {
  const first = await lock('inside', 0);
  await expect(lock('inside', 0)).rejects.toMatchObject({ code: 'LAYOUT_LOCKED' });
  const second = lock('inside', 10_000);
  await first[Symbol.asyncDispose]();
  await (await second)[Symbol.asyncDispose]();
});

test('another process is kept out, and lets in when it is killed with -9', async () => {
  const child = await holder('between');
  await expect(lock('between', 0)).rejects.toMatchObject({ code: 'LAYOUT_LOCKED' });
  const waiting = lock('between', 20_000);
  child.kill('SIGKILL');
  await once(child, 'close');
  await (await waiting)[Symbol.asyncDispose]();
});

test('many who wait get it one after another, and never two at once', async () => {
  let holders = 0;
  let turns = 0;
  await Promise.all(
    Array.from({ length: 10 }, async () => {
      await using _held = await lock('many', 20_000);
      holders++;
      expect(holders).toBe(1);
      await new Promise((resolve) => setImmediate(resolve));
      holders--;
      turns++;
    }),
  );
  expect(turns).toBe(10);
});

test('waiting ends with the abort', async () => {
  await using _held = await lock('aborted', 0);
  const reason = new Error('enough');
  await expect(lock('aborted', 20_000, AbortSignal.abort(reason))).rejects.toBe(reason);
  const abort = new AbortController();
  const waiting = lock('aborted', 20_000, abort.signal);
  abort.abort(reason);
  await expect(waiting).rejects.toBe(reason);
});

test('a lock in a directory that does not exist is an error, not a wait', async () => {
  await expect(lock('none/lock', 20_000)).rejects.toMatchObject({ code: 'IO_FAILED' });
});
