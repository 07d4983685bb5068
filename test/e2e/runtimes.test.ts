import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tarStream } from '../support/corpus/index.ts';
import { pathWithCrun } from '../support/crun-path.ts';
import { layoutOf } from '../support/native/index.ts';
import { publishArchive } from '../support/published-archive.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary-directory.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../..');
let scratch: TemporaryDirectory;
let archive = '';

beforeAll(async () => {
  scratch = await temporaryDirectory('runtimes');
  const layer = tarStream([
    { name: 'bin/', type: '5', mode: 0o755 },
    { name: 'bin/sh', type: '0', data: await readFile('/bin/busybox'), mode: 0o755 },
    ...['proc/', 'dev/', 'sys/', 'etc/', 'tmp/', 'run/'].map((name) => ({ name, type: '5' as const, mode: 0o755 })),
    { name: 'etc/note', type: '0', data: 'of the image\n', mode: 0o644 },
  ]);
  const layout = await layoutOf(scratch.path, [layer]);
  archive = (await publishArchive(layout, { dir: scratch.path, codec: 'zstd', name: 'runtimes' })).path;
});
afterAll(() => scratch[Symbol.asyncDispose]());

/** Runs the example that the page shows, with this checkout's `clipyard` on the path. */
async function example(runtime: string, changes: string, script: string) {
  const machine = await pathWithCrun(scratch.path);
  const PATH = [machine, join(root, 'scripts'), join(root, '.clipyard/node/bin')].join(delimiter);
  const path = join(root, 'examples', runtime, 'run.sh');
  const { stdout } = await run(path, [archive, changes, '/bin/sh', '-c', script], {
    env: { ...process.env, PATH },
  });
  return stdout;
}

test.for(['runc', 'crun', 'containerd'])('the page shows the example of %s as it is', async (runtime) => {
  const page = await readFile(join(root, 'docs/runtimes.md'), 'utf8');
  expect(page).toContain(`\`\`\`bash\n${await readFile(join(root, 'examples', runtime, 'run.sh'), 'utf8')}\`\`\``);
});

test.for(['runc', 'crun'])('the example of %s starts a container, and its changes are kept', async (runtime) => {
  const changes = join(scratch.path, `changes of ${runtime}`);
  const script = 'read note < /etc/note; echo "$note"; echo changed > /etc/note';
  expect(await example(runtime, changes, script)).toBe('of the image\n');
  expect(await example(runtime, changes, script)).toBe('changed\n');
  expect(await readFile(join(changes, 'upper/etc/note'), 'utf8')).toBe('changed\n');
});
