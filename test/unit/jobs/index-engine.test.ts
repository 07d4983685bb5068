import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { engineOf } from '../../../src/jobs/index-engine.ts';
import type { Log } from '../../../src/telemetry/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

function context(...directories: readonly string[]) {
  const notices: string[] = [];
  const log = { warn: (_fields: unknown, text: string) => notices.push(text) } as unknown as Log;
  return { notices, log, tools: { directories } };
}

test('without the native tool, auto is portable and says so; native is NATIVE_TOOL_MISSING', () => {
  const { notices, ...given } = context();
  expect(engineOf('auto', given)).toBe('portable');
  expect(notices).toEqual([expect.stringContaining('clipyard-index is not built')]);
  expect(() => engineOf('native', given)).toThrow(expect.objectContaining({ code: 'NATIVE_TOOL_MISSING' }) as Error);
});

test('with it, auto is native and portable stays a choice, without a notice', async () => {
  await using directory = await temporaryDirectory('engine');
  await writeFile(join(directory.path, 'clipyard-index'), '');
  await chmod(join(directory.path, 'clipyard-index'), 0o755);
  const { notices, ...given } = context(directory.path);
  expect([engineOf('auto', given), engineOf('portable', given), notices]).toEqual(['native', 'portable', []]);
});
