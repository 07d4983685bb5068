import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import {
  type Credential,
  type CredentialSource,
  createRegistryClient,
  NO_CREDENTIALS,
} from '../../../src/registry/index.ts';
import { Secret } from '../../../src/telemetry/index.ts';
import { newBlobFile, sourceOf } from '../../support/blob-file.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { startDistribution, startOlareg, TEST_LOGIN } from '../../support/registry.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { TokenService } from '../../support/token-service.ts';

const signal = new AbortController().signal;
const limits = { pauseMs: 10, maxPauseMs: 50, attempts: 3 };
const given = (credential: Credential): CredentialSource => ({ get: () => Promise.resolve(credential) });
const basic = (password: string = TEST_LOGIN.password) =>
  given({ kind: 'basic', username: TEST_LOGIN.username, password: new Secret(password) });

test('Basic: a push without a login or with a wrong one is REGISTRY_UNAUTHENTICATED', async () => {
  await using registry = await startDistribution({ kind: 'basic' });
  await using directory = await temporaryDirectory('login');
  const repository = { registry: registry.address, repository: 'a' };
  const blob = sourceOf(await newBlobFile(directory.path, 100));
  await using nobody = createRegistryClient({ credentials: NO_CREDENTIALS, limits });
  await expect(nobody.pushBlob(repository, blob, { signal })).rejects.toMatchObject({
    code: 'REGISTRY_UNAUTHENTICATED',
  });
  await using wrong = createRegistryClient({ credentials: basic('hunter2'), limits });
  await expect(wrong.pushBlob(repository, blob, { signal })).rejects.toMatchObject({
    code: 'REGISTRY_UNAUTHENTICATED',
    message: expect.not.stringContaining('hunter2') as string,
  });
  await expect(wrong.ping(registry.address, { signal })).rejects.toMatchObject({ code: 'REGISTRY_UNAUTHENTICATED' });
});

test('Bearer: a token is asked for with the scope of the work, kept, and never sent anywhere else', async () => {
  await using service = await TokenService.start(TEST_LOGIN);
  await using registry = await startDistribution({ kind: 'token', service });
  await using directory = await temporaryDirectory('login');
  await using client = createRegistryClient({ credentials: basic(), limits });
  const repository = { registry: registry.address, repository: 'team/app' };
  for (let at = 0; at < 3; at++)
    await client.pushBlob(repository, sourceOf(await newBlobFile(directory.path, 100)), { signal });
  expect(service.grants.map(({ scopes, how }) => [scopes, how])).toEqual([
    [['repository:team/app:pull'], 'basic'],
    [['repository:team/app:pull,push'], 'basic'],
  ]);
});

test('Bearer: a token that runs out in the middle of the work is fetched again', async () => {
  await using service = await TokenService.start({ ...TEST_LOGIN, lifeSeconds: 1 });
  await using registry = await startDistribution({ kind: 'token', service });
  await using proxy = await FaultProxy.start(registry.address);
  await using directory = await temporaryDirectory('login');
  await using client = createRegistryClient({ credentials: basic(), limits });
  const repository = { registry: proxy.address, repository: 'team/app' };
  proxy.inject({ method: 'POST' }, { kind: 'delay', delayMs: 1500 });
  expect(await client.pushBlob(repository, sourceOf(await newBlobFile(directory.path, 100)), { signal })).toBe('sent');
  expect(service.grants.length).toBeGreaterThan(2);
});

test('Bearer: a token that the registry has revoked is replaced once', async () => {
  await using service = await TokenService.start(TEST_LOGIN);
  await using registry = await startDistribution({ kind: 'token', service });
  await using proxy = await FaultProxy.start(registry.address);
  await using directory = await temporaryDirectory('login');
  await using client = createRegistryClient({ credentials: basic(), limits });
  const repository = { registry: proxy.address, repository: 'team/app' };
  const blob = await newBlobFile(directory.path, 100);
  await client.pushBlob(repository, sourceOf(blob), { signal });
  const before = service.grants.length;
  const challenge = `Bearer realm="${service.realm}",service="${service.service}",error="invalid_token"`;
  proxy.inject({ method: 'HEAD' }, { kind: 'answer', status: 401, headers: { 'www-authenticate': challenge } });
  expect(await client.headBlob(repository, blob.digest, { signal })).toEqual({ sizeBytes: 100 });
  expect(service.grants.length).toBe(before + 1);
});

test('Bearer: an identity token is exchanged by POST', async () => {
  await using service = await TokenService.start({ ...TEST_LOGIN, identityToken: 'refresh-me' });
  await using registry = await startDistribution({ kind: 'token', service });
  await using directory = await temporaryDirectory('login');
  await using client = createRegistryClient({
    credentials: given({ kind: 'identityToken', token: new Secret('refresh-me') }),
    limits,
  });
  const repository = { registry: registry.address, repository: 'a' };
  expect(await client.pushBlob(repository, sourceOf(await newBlobFile(directory.path, 100)), { signal })).toBe('sent');
  expect(service.grants.every(({ how }) => how === 'refresh_token')).toBe(true);
});

test('Bearer: a wrong password is REGISTRY_UNAUTHENTICATED, a missing right REGISTRY_DENIED', async () => {
  await using service = await TokenService.start({ ...TEST_LOGIN, readOnly: ['others/app'] });
  await using registry = await startDistribution({ kind: 'token', service });
  await using directory = await temporaryDirectory('login');
  const blob = sourceOf(await newBlobFile(directory.path, 100));
  await using wrong = createRegistryClient({ credentials: basic('hunter2'), limits });
  await expect(wrong.pushBlob({ registry: registry.address, repository: 'a' }, blob, { signal })).rejects.toMatchObject(
    {
      code: 'REGISTRY_UNAUTHENTICATED',
      message: expect.not.stringContaining('hunter2') as string,
    },
  );
  await using client = createRegistryClient({ credentials: basic(), limits });
  await expect(
    client.pushBlob({ registry: registry.address, repository: 'others/app' }, blob, { signal }),
  ).rejects.toMatchObject({ code: 'REGISTRY_DENIED' });
});

test('D31: a redirect to another host takes no login along, and one in a circle ends', async () => {
  await using registry = await startDistribution({ kind: 'basic' });
  await using proxy = await FaultProxy.start(registry.address);
  await using directory = await temporaryDirectory('login');
  await using client = createRegistryClient({ credentials: basic(), limits });
  const repository = { registry: proxy.address, repository: 'a' };
  const blob = await newBlobFile(directory.path, 5000);
  await client.pushBlob(repository, sourceOf(blob), { signal });
  await using storage = await startStorage(blob.bytes);

  proxy.takeRequests();
  proxy.inject(
    { method: 'GET' },
    { kind: 'answer', status: 307, headers: { location: `${storage.url}/blob?signature=hunter2` } },
  );
  expect((await buffer(await client.getBlobStream(repository, blob.digest, { signal }))).equals(blob.bytes)).toBe(true);
  expect(proxy.takeRequests()[0]?.headers['authorization']).toMatch(/^Basic /);
  expect(storage.seen).toHaveLength(1);
  expect(storage.seen[0]?.authorization).toBeUndefined();

  proxy.inject(
    { method: 'GET' },
    { kind: 'answer', status: 307, headers: { location: `/v2/a/blobs/${blob.digest}` } },
    { times: 100 },
  );
  await expect(client.getBlobStream(repository, blob.digest, { signal })).rejects.toMatchObject({
    code: 'REGISTRY_PROTOCOL',
  });
});

test('a redirect or a token service on plain http elsewhere is REGISTRY_INSECURE', async () => {
  await using registry = await startOlareg();
  await using proxy = await FaultProxy.start(registry.address);
  await using client = createRegistryClient({ credentials: basic(), limits });
  const repository = { registry: proxy.address, repository: 'a' };
  // A name that never resolves: the address must be refused before it is looked up.
  proxy.inject({}, { kind: 'answer', status: 307, headers: { location: 'http://elsewhere.invalid/x' } });
  await expect(client.getManifest(repository, 'v1', { signal })).rejects.toMatchObject({ code: 'REGISTRY_INSECURE' });
  proxy.inject(
    {},
    { kind: 'answer', status: 401, headers: { 'www-authenticate': 'Bearer realm="http://elsewhere.invalid/token"' } },
  );
  await expect(client.getManifest(repository, 'v1', { signal })).rejects.toMatchObject({ code: 'REGISTRY_INSECURE' });
});

test('no log line and no error holds a password, a token or the query of an address', async () => {
  const lines: string[] = [];
  const log = pino({ level: 'trace' }, { write: (line: string) => lines.push(line) });
  await using service = await TokenService.start(TEST_LOGIN);
  await using registry = await startDistribution({ kind: 'token', service });
  await using proxy = await FaultProxy.start(registry.address);
  await using directory = await temporaryDirectory('login');
  await using client = createRegistryClient({
    credentials: basic(),
    limits: { ...limits, monolithicBytes: 1000, chunkBytes: 5000 },
    log,
  });
  const repository = { registry: proxy.address, repository: `a/${randomUUID()}` };
  proxy.inject({ method: 'PATCH' }, { kind: 'answer', status: 503 });
  await client.pushBlob(repository, sourceOf(await newBlobFile(directory.path, 20_000)), { signal });

  // A registry that says back what it was sent.
  const { authorization } =
    proxy.takeRequests().find(({ headers }) => headers['authorization'] !== undefined)?.headers ?? {};
  const token = String(authorization).slice('Bearer '.length);
  proxy.inject(
    { method: 'GET' },
    { kind: 'answer', status: 400, body: JSON.stringify({ errors: [{ code: 'BAD', message: `got ${token}` }] }) },
  );
  const failure: unknown = await client.getManifest(repository, 'v1', { signal }).catch((thrown: unknown) => thrown);
  expect(failure).toMatchObject({ code: 'REGISTRY_REFUSED', message: expect.stringContaining('[redacted]') as string });

  const said = [...lines, String(failure), JSON.stringify(failure)].join('\n');
  expect(lines.length).toBeGreaterThan(5);
  for (const grant of service.grants) expect(said).not.toContain(grant.token);
  for (const secret of [
    TEST_LOGIN.password,
    Buffer.from(`${TEST_LOGIN.username}:${TEST_LOGIN.password}`).toString('base64'),
    '_state=',
    'Bearer ey',
  ]) {
    expect(said).not.toContain(secret);
  }
});

/** Another host that has the bytes, as registries have with their object stores. */
async function startStorage(bytes: Buffer) {
  const seen: IncomingHttpHeaders[] = [];
  const server = createServer((request, response) => {
    seen.push(request.headers);
    response.writeHead(200, { 'content-length': String(bytes.length) }).end(bytes);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    seen,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
