import { expect, test } from 'vitest';
import { createAuthorizer } from '../../../src/registry/auth/authorizer.ts';
import { SYSTEM_CLOCK } from '../../../src/registry/clock.ts';
import type { Credential } from '../../../src/registry/index.ts';
import { Secret } from '../../../src/telemetry/index.ts';

const signal = new AbortController().signal;
const bearer = 'Bearer realm="https://a.example/token",service="r"';
const scopes = ['repository:a:pull'];

function setUp(credential?: Credential) {
  let nowMs = 0;
  let asked = 0;
  const fetched: string[] = [];
  const authorizer = createAuthorizer({
    clock: { ...SYSTEM_CLOCK, nowMs: () => nowMs },
    credentials: {
      get: () => {
        asked++;
        return Promise.resolve(credential);
      },
    },
    fetchToken: async (request) => {
      fetched.push(request.scopes.join(' '));
      return Promise.resolve({ value: new Secret(`token${fetched.length}`), expiresMs: nowMs + 1000 });
    },
  });
  return {
    authorizer,
    fetched,
    asked: () => asked,
    pass: (durationMs: number) => {
      nowMs += durationMs;
    },
  };
}

test('nothing is sent before a registry has asked for a login', async () => {
  const { authorizer, asked } = setUp();
  expect(await authorizer.header('r', scopes, { signal })).toBeUndefined();
  expect(asked()).toBe(0);
});

test('after the first challenge the header is known at once', async () => {
  const { authorizer } = setUp({ kind: 'basic', username: 'u', password: new Secret('p') });
  const header = await authorizer.answer('r', scopes, 'Basic realm="x"', undefined, { signal });
  expect(header).toBe(`Basic ${Buffer.from('u:p').toString('base64')}`);
  expect(await authorizer.header('r', scopes, { signal })).toBe(header);
  expect(await authorizer.header('other', scopes, { signal })).toBeUndefined();
});

test('one token is fetched for all who wait for it, another one for another scope', async () => {
  const { authorizer, fetched } = setUp();
  await Promise.all(Array.from({ length: 5 }, () => authorizer.answer('r', scopes, bearer, undefined, { signal })));
  await authorizer.header('r', ['repository:b:pull'], { signal });
  expect(fetched).toEqual(['repository:a:pull', 'repository:b:pull']);
});

test('a token that has run out is fetched again, once', async () => {
  const { authorizer, fetched, pass } = setUp();
  expect(await authorizer.answer('r', scopes, bearer, undefined, { signal })).toBe('Bearer token1');
  pass(2000);
  const headers = await Promise.all([1, 2, 3].map(() => authorizer.header('r', scopes, { signal })));
  expect(headers).toEqual(['Bearer token2', 'Bearer token2', 'Bearer token2']);
  expect(fetched).toHaveLength(2);
});

test('a token that the registry refuses is replaced, and not twice by two who held it', async () => {
  const { authorizer, fetched } = setUp();
  const used = await authorizer.answer('r', scopes, bearer, undefined, { signal });
  const headers = await Promise.all([1, 2].map(() => authorizer.answer('r', scopes, bearer, used, { signal })));
  expect(headers).toEqual(['Bearer token2', 'Bearer token2']);
  expect(fetched).toHaveLength(2);
});

test('a password that is refused is asked for again, and the same one is not sent twice', async () => {
  const { authorizer, asked } = setUp({ kind: 'basic', username: 'u', password: new Secret('p') });
  const used = await authorizer.answer('r', scopes, 'Basic', undefined, { signal });
  await expect(authorizer.answer('r', scopes, 'Basic', used, { signal })).rejects.toMatchObject({
    code: 'REGISTRY_UNAUTHENTICATED',
  });
  expect(asked()).toBe(2);
});

test('Basic without a login is an error that says what is missing', async () => {
  const { authorizer } = setUp();
  await expect(authorizer.answer('r', scopes, 'Basic', undefined, { signal })).rejects.toMatchObject({
    code: 'REGISTRY_UNAUTHENTICATED',
    message: expect.stringContaining('docker config') as string,
  });
});

test('a registry token is sent as it is', async () => {
  const { authorizer, fetched } = setUp({ kind: 'registryToken', token: new Secret('given') });
  expect(await authorizer.answer('r', scopes, bearer, undefined, { signal })).toBe('Bearer given');
  expect(fetched).toEqual([]);
});

test.for(['Negotiate', '', 'Bearer service="no realm"'])('the challenge %j cannot be answered', async (challenge) => {
  const { authorizer } = setUp();
  await expect(authorizer.answer('r', scopes, challenge, undefined, { signal })).rejects.toMatchObject({
    code: 'REGISTRY_UNAUTHENTICATED',
  });
});
