import { expect, test } from 'vitest';
import { statusText } from '../../../src/rpc/index.ts';

test.for([
  ['No connection established. Last error: connect ECONNREFUSED 127.0.0.1:1. Resolution note: ', 'No connection'],
  ['No connection established. Last error: null. Resolution note:', 'No connection'],
] as const)('%s loses its empty end', ([text, start]) => {
  expect(statusText(text)).not.toContain('Resolution');
  expect(statusText(text).startsWith(start)).toBe(true);
});

test.for(['', 'no such blob', 'Resolution note: kept', 'a. Resolution note: why'])('%s stays', (text) => {
  expect(statusText(text)).toBe(text);
});
