import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { runCommandLine } from '../../../src/cli/index.ts';
import { createLog } from '../../../src/telemetry/index.ts';
import { tarStream, writeLayout } from '../../support/corpus/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

function logged(write: (log: ReturnType<typeof createLog>) => void): string {
  const terminal = new PassThrough();
  write(createLog({ level: 'info', terminal }));
  return String(terminal.read()).replaceAll('\r\x1b[2K', '');
}

test('at a terminal a log line is words, the fields behind them', () => {
  const said = logged((log) => {
    log.info({ engine: 'erofs', reason: '', waits: 3 }, 'mount engine chosen');
    log.warn('the pack cache was damaged');
    log.debug('not asked for');
  });
  expect(said).toBe(
    'clipyard: mount engine chosen (engine erofs, waits 3)\nclipyard: warning: the pack cache was damaged\n',
  );
});

test('what a name holds does not steer the terminal', () => {
  const said = logged((log) => {
    log.info({ name: '\x1b]0;owned\x07\n\u009b2J' }, 'unpacked');
  });
  expect(said).toBe('clipyard: unpacked (name �]0;owned���2J)\n');
});

test('a secret stays one', () => {
  expect(
    logged((log) => {
      log.info({ token: 'hunter2' }, 'login');
    }),
  ).not.toContain('hunter2');
});

test('a command at a terminal shows no JSON line', async () => {
  await using scratch = await temporaryDirectory();
  const tar = tarStream([{ type: '0', name: 'hello', data: 'world' }]);
  const layout = await writeLayout(join(scratch.path, 'layout'), [tar], 'zstd');
  const stderr = Object.assign(new PassThrough(), { isTTY: true });
  const stdout = new PassThrough();
  const index = ['index', '--engine', 'portable', '--from', `oci:${layout.dir}`];
  const output = ['--storage-ref', '127.0.0.1:1/team/app:v1', '--output', join(scratch.path, 'out.clip')];
  const exitCode = await runCommandLine(['node', 'clipyard', ...index, ...output], {
    env: { CLIPYARD_STATE: scratch.path },
    root: join(import.meta.dirname, '../../..'),
    signal: new AbortController().signal,
    stdout,
    stderr,
  });
  stderr.end();
  const said = await text(stderr);
  expect({ exitCode, said }).toMatchObject({ exitCode: 0 });
  expect(said).toContain('clipyard: indexing from local OCI layout with remote storage reference (source_ref ');
  expect(said).not.toContain('{"level"');
});
