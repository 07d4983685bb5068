import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseChallenges } from '../../../src/registry/auth/challenge.ts';

test.for<[header: string, challenges: unknown[]]>([
  ['Basic realm="x"', [{ scheme: 'basic', parameters: { realm: 'x' } }]],
  ['basic', [{ scheme: 'basic', parameters: {} }]],
  [
    'Bearer realm="https://a.example/token",service="r",scope="repository:a:pull,push"',
    [
      {
        scheme: 'bearer',
        parameters: { realm: 'https://a.example/token', service: 'r', scope: 'repository:a:pull,push' },
      },
    ],
  ],
  [
    'Bearer Realm = "x" , error=insufficient_scope',
    [{ scheme: 'bearer', parameters: { realm: 'x', error: 'insufficient_scope' } }],
  ],
  [
    'Basic realm="a", Bearer realm="b"',
    [
      { scheme: 'basic', parameters: { realm: 'a' } },
      { scheme: 'bearer', parameters: { realm: 'b' } },
    ],
  ],
  ['Bearer realm="with \\"quotes\\" inside"', [{ scheme: 'bearer', parameters: { realm: 'with "quotes" inside' } }]],
  ['', []],
  ['"', []],
])('%s', ([header, challenges]) => {
  expect(parseChallenges(header)).toEqual(challenges);
});

test('any header is read without an error', () => {
  fc.assert(
    fc.property(fc.string(), (header) => {
      expect(Array.isArray(parseChallenges(header))).toBe(true);
    }),
  );
});
