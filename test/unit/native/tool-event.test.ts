import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ToolEvent } from '../../../src/native/index.ts';

const golden = new URL('../../golden/protocol/events.jsonl', import.meta.url);

test('every golden event is accepted as the native tools write it', () => {
  const lines = readFileSync(golden, 'utf8').trimEnd().split('\n');
  const kinds = new Set(lines.map((line) => ToolEvent.parse(JSON.parse(line)).event));
  expect([...kinds].sort()).toEqual(['error', 'progress', 'result', 'written']);
});

test.for([
  ['another version', { v: 2, event: 'progress', id: '', doneBytes: 1 }],
  ['an unknown event', { v: 1, event: 'done', id: '' }],
  ['a negative count', { v: 1, event: 'progress', id: '', doneBytes: -1 }],
  ['an error without a code', { v: 1, event: 'error', id: '', message: 'x' }],
])('%s is no event', ([, event]) => {
  expect(ToolEvent.safeParse(event).success).toBe(false);
});
