import { expect, test } from 'vitest';
import { SYSTEM_CLOCK } from '../../../src/registry/clock.ts';
import { parseRetryAfter, refusalError } from '../../../src/registry/refusal.ts';

const errors = (code: string, message = '') => JSON.stringify({ errors: [{ code, message }] });
const refusal = (status: number, body = '', retryAfter?: string) =>
  refusalError('PUT host/x', { status, body, retryAfter, secrets: ['hunter2'] }, { ...SYSTEM_CLOCK, nowMs: () => 0 });

test.for<[status: number, body: string, code: string]>([
  [400, errors('MANIFEST_INVALID'), 'REGISTRY_REFUSED'],
  [400, errors('MANIFEST_BLOB_UNKNOWN'), 'BLOB_MISSING'],
  [401, errors('UNAUTHORIZED'), 'REGISTRY_UNAUTHENTICATED'],
  [401, errors('DENIED'), 'REGISTRY_DENIED'],
  [403, '', 'REGISTRY_DENIED'],
  [404, errors('NAME_UNKNOWN'), 'REGISTRY_NOT_FOUND'],
  [408, '', 'REGISTRY_UNAVAILABLE'],
  [413, '<html>too large</html>', 'REGISTRY_REFUSED'],
  [429, '', 'REGISTRY_THROTTLED'],
  [400, errors('TOOMANYREQUESTS'), 'REGISTRY_THROTTLED'],
  [500, '', 'REGISTRY_UNAVAILABLE'],
  [501, '', 'REGISTRY_REFUSED'],
  [503, 'down', 'REGISTRY_UNAVAILABLE'],
  [302, '', 'REGISTRY_PROTOCOL'],
])('%i with %s is %s', ([status, body, code]) => {
  expect(refusal(status, body)).toMatchObject({ code, details: { status } });
});

test('the registry’s own words are in the message, clipped to a line and without secrets', () => {
  const error = refusal(400, errors('DIGEST_INVALID', `token hunter2\n\u001b[31mred ${'x'.repeat(2000)}`));
  expect(error.message).toContain('400 DIGEST_INVALID: token [redacted]');
  expect(error.message).not.toMatch(/[\p{Cc}]|hunter2/u);
  expect(error.message.length).toBeLessThan(700);
});

test.for<[value: string, delayMs: number | undefined]>([
  ['0', 0],
  ['7', 7000],
  [' 7 ', 7000],
  ['Thu, 01 Jan 1970 00:00:10 GMT', 10_000],
  ['Thu, 01 Jan 1970 00:00:00 GMT', 0],
  ['-1', undefined],
  ['soon', undefined],
  ['99999999999', undefined],
])('Retry-After %s is %s ms', ([value, delayMs]) => {
  expect(parseRetryAfter(value, 0)).toBe(delayMs);
});
