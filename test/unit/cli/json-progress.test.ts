import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { jsonProgress } from '../../../src/cli/progress/json.ts';

test('event is the name in every line; what BuildKit told stands under buildkit', async () => {
  const stderr = new PassThrough();
  const { report } = jsonProgress(stderr);
  report({ type: 'phase', phase: 'building', state: 'started' });
  report({ type: 'buildkit', event: { type: 'export-started' } });
  stderr.end();
  const lines = (await text(stderr)).trim().split('\n');
  expect(lines.map((line) => JSON.parse(line) as object)).toEqual([
    { event: 'phase', timeMs: expect.any(Number) as number, phase: 'building', state: 'started' },
    { event: 'buildkit', timeMs: expect.any(Number) as number, buildkit: { type: 'export-started' } },
  ]);
});
