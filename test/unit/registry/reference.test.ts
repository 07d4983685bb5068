import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatReference, manifestNameOf, parseReference } from '../../../src/registry/index.ts';

const digest = `sha256:${'ab'.repeat(32)}`;

test.for<[text: string, reference: object]>([
  ['debian', { registry: 'docker.io', repository: 'library/debian' }],
  ['debian:bookworm', { registry: 'docker.io', repository: 'library/debian', tag: 'bookworm' }],
  ['docker.io/debian', { registry: 'docker.io', repository: 'library/debian' }],
  ['index.docker.io/team/app', { registry: 'docker.io', repository: 'team/app' }],
  ['team/app', { registry: 'docker.io', repository: 'team/app' }],
  ['localhost/app', { registry: 'localhost', repository: 'app' }],
  ['localhost:5000/app:1', { registry: 'localhost:5000', repository: 'app', tag: '1' }],
  ['127.0.0.1:5000/a/b', { registry: '127.0.0.1:5000', repository: 'a/b' }],
  ['[::1]:5000/a', { registry: '[::1]:5000', repository: 'a' }],
  [`ghcr.io/o/app@${digest}`, { registry: 'ghcr.io', repository: 'o/app', digest }],
  [`host:5000/app:tag@${digest}`, { registry: 'host:5000', repository: 'app', tag: 'tag', digest }],
  ['r.example/a__b/c-d--e/f.g', { registry: 'r.example', repository: 'a__b/c-d--e/f.g' }],
])('%s is %j', ([text, reference]) => {
  expect(parseReference(text)).toEqual(reference);
});

test.for([
  '',
  ':',
  'App',
  'host.example/App',
  'host.example/',
  'host.example//a',
  'a/../b',
  'app:',
  'app:-x',
  `app:${'x'.repeat(129)}`,
  'app@sha256:12',
  `app@${digest}@${digest}`,
  'http://host.example/app',
  'user@host.example/app',
  'host.example:99999999/app',
  '-host.example/app',
  `r.example/${'a'.repeat(260)}`,
  'r.example/a b',
  'r.example/a\nb',
])('%j is no reference', (text) => {
  expect(() => parseReference(text)).toThrow(expect.objectContaining({ code: 'REFERENCE_INVALID' }));
});

test('what is formatted is read back as the same reference', () => {
  const name = fc.stringMatching(/^[a-z0-9]{1,8}([._-][a-z0-9]{1,4}){0,2}$/);
  const references = fc.record(
    {
      registry: fc.constantFrom('localhost', 'host.example', 'h:80', '127.0.0.1:5000', '[::1]:443'),
      repository: fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/')),
      tag: fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,20}$/),
      digest: fc.constant(digest),
    },
    { requiredKeys: ['registry', 'repository'] },
  );
  fc.assert(
    fc.property(references, (reference) => {
      expect(parseReference(formatReference(reference as never))).toEqual({ ...reference });
    }),
  );
});

test('any text is read or refused with our error', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        expect(formatReference(parseReference(text))).toContain('/');
      } catch (thrown) {
        expect(thrown).toMatchObject({ code: 'REFERENCE_INVALID' });
      }
    }),
  );
});

test('a manifest is asked for by its digest before its tag', () => {
  expect(manifestNameOf(parseReference(`a:b@${digest}`))).toBe(digest);
  expect(manifestNameOf(parseReference('a:b'))).toBe('b');
  expect(manifestNameOf(parseReference('a'))).toBe('latest');
});
