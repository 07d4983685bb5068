import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { worker } from '../support/queue/submissions.ts';
import { grant, startService } from '../support/service/test-server.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');
const page = readFileSync(join(root, 'docs/api.md'), 'utf8');
const { signal } = new AbortController();

function blockOf(language: string): string {
  const block = new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 's').exec(page)?.[1];
  if (block === undefined) throw new Error(`docs/api.md has no block of ${language}`);
  return block;
}

test('the client of docs/api.md submits a build and sees it end, over a connection that breaks', async () => {
  await using server = await startService({ tokens: [grant('of-a', 'a')] });
  await using proxy = await TcpProxy.start(server.address);
  proxy.cutAfter(1500);
  // Below the checkout, from where the packages are found.
  await mkdir(join(root, '.clipyard'), { recursive: true });
  const directory = await mkdtemp(join(root, '.clipyard/api-page-'));
  try {
    await writeFile(join(directory, 'client.ts'), blockOf('ts'));
    await symlink(join(root, 'src/gen'), join(directory, 'gen'));
    const env = { ...process.env, CLIPYARD_SERVER: proxy.address, CLIPYARD_TOKEN: 'of-a' };
    const running = run(process.execPath, ['--preserve-symlinks', join(directory, 'client.ts')], { env });
    for (;;) {
      await using lease = await server.queue.take(worker('w1'), { signal });
      if (lease === undefined) {
        await server.queue.waitForWork(200, { signal });
        continue;
      }
      const about = { timeMs: Date.now(), phase: 'building', bytes: 0, kind: 'log' } as const;
      for (let n = 0; n < 30; n++)
        await lease.tell([{ ...about, what: { stepId: '1', stream: 1, data: `line ${n} ${'x'.repeat(50)}\n` } }]);
      await lease.end({ state: 'done', result: {} });
      break;
    }
    const { stdout } = await running;
    expect([...stdout.matchAll(/^line (\d+)/gm)].map(([, n]) => Number(n))).toEqual([...Array(30).keys()]);
    expect(stdout).toMatch(/^submitted \S+$/m);
    expect(stdout.trim().endsWith('state 9')).toBe(true);
    expect(proxy.connections).toBeGreaterThan(1);
  } finally {
    await rm(directory, { recursive: true });
  }
});

test('the grpcurl session of docs/api.md runs as it stands there', async () => {
  await using server = await startService();
  await using directory = await temporaryDirectory();
  const env = {
    ...process.env,
    PATH: `${join(root, '.clipyard/bin')}:${process.env['PATH'] ?? ''}`,
    CLIPYARD_SERVER: server.address,
  };
  const { stdout } = await run('bash', ['-euc', blockOf('sh')], { env, cwd: directory.path });
  expect(stdout).toContain('map<string, string> build_args = 9;');
  expect(stdout).toContain('"state": "STATE_CANCELED"');
  expect(stdout).toContain('"status": "SERVING"');
});
