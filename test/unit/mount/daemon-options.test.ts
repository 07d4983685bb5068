import { expect, test } from 'vitest';
import { missingOptions } from '../../../src/mount/daemon-options.ts';

const daemon = ['--socket', '/s', '--max-requests', '16', '--page-cache', 'shared', '--idle-exit'];

test.for<[wanted: string, missing: string[]]>([
  ['', []],
  ['--max-requests 16', []],
  ['--max-requests 16 --idle-exit --page-cache shared', []],
  ['--page-cache single', ['--page-cache single']],
  ['--page-cache shared --page-cache single', ['--page-cache single']],
  ['--no-handover --max-requests 4', ['--no-handover', '--max-requests 4']],
])('of %j a daemon with others misses %j', ([wanted, missing]) => {
  expect(missingOptions(wanted.split(' '), daemon)).toEqual(missing);
});

test('a daemon that tells no options misses none', () => {
  expect(missingOptions(['--no-handover'], [])).toEqual([]);
});
