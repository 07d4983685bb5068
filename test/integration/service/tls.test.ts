import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { connectWorker, OWN_WORKSPACE } from '../../../src/service/index.ts';
import { readAuthorities } from '../../../src/tls/index.ts';
import { createAuthority } from '../../support/certificates.ts';
import { grant, startService } from '../../support/service/test-server.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const { signal } = new AbortController();
const random = Math.random;

test('over TLS a client checks the server by CLIPYARD_CA_FILE and shows its token', async () => {
  await using directory = await temporaryDirectory();
  const authority = await createAuthority(directory.path);
  const tls = await authority.issue('server', 'IP:127.0.0.1');
  await using server = await startService({ tls, tokens: [grant('of-a', 'a')] });
  expect(server.address).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
  const trust = { further: readAuthorities(authority.caFile) };
  using client = connectWorker({ server: server.address, token: 'of-a', trust, random });
  expect(await client.builds.list(OWN_WORKSPACE, { limit: 1 }, { signal })).toEqual({ records: [], next: undefined });
  using suspicious = connectWorker({ server: server.address, token: 'of-a', trust: {}, random });
  const refusal = { code: 'TLS_UNTRUSTED', message: expect.stringMatching(/certificate of .*--ca-file/) as string };
  await expect(suspicious.builds.list(OWN_WORKSPACE, { limit: 1 }, { signal })).rejects.toMatchObject(refusal);
  const watching = suspicious.builds.watch(OWN_WORKSPACE, 'any', { after: 0, signal })[Symbol.asyncIterator]();
  await expect(watching.next()).rejects.toMatchObject(refusal);
  // A certificate that is trusted, and of another name.
  const elsewhere = server.address.replace('127.0.0.1', 'localhost');
  using misled = connectWorker({ server: elsewhere, token: 'of-a', trust, random });
  await expect(misled.builds.list(OWN_WORKSPACE, { limit: 1 }, { signal })).rejects.toMatchObject({
    code: 'TLS_UNTRUSTED',
    message: expect.stringMatching(/for another name/) as string,
  });
});

test('with client authorities a connection needs a certificate, whose name says the workspace', async () => {
  await using directory = await temporaryDirectory();
  const authority = await createAuthority(directory.path);
  const pair = await authority.issue('server', 'IP:127.0.0.1');
  const clientCa = await readFile(authority.caFile, 'utf8');
  const trust = { further: clientCa };
  await using server = await startService({ tls: { ...pair, clientCa } });
  using team = connectWorker({
    server: server.address,
    token: undefined,
    trust: { ...trust, identity: await authority.issue('team', 'DNS:team.example') },
    random,
  });
  expect(await team.archives.resolve(OWN_WORKSPACE, { imageId: 'web' }, { signal }).catch(codeOf)).toBe(
    'STORE_OBJECT_NOT_FOUND',
  );
  await expect(team.builds.list('a', { limit: 1 }, { signal })).rejects.toMatchObject({ code: 'WORKER_DENIED' });
  await expect(team.control.capacity({ signal })).rejects.toMatchObject({ code: 'WORKER_DENIED' });
  using nobody = connectWorker({ server: server.address, token: undefined, trust, random });
  await expect(nobody.builds.list(OWN_WORKSPACE, { limit: 1 }, { signal })).rejects.toMatchObject({
    code: 'WORKER_UNAVAILABLE',
  });
  const other = await temporaryDirectory();
  await using _ = other;
  const stranger = await (await createAuthority(other.path)).issue('team', 'DNS:team.example');
  using forged = connectWorker({
    server: server.address,
    token: undefined,
    trust: { ...trust, identity: stranger },
    random,
  });
  await expect(forged.builds.list(OWN_WORKSPACE, { limit: 1 }, { signal })).rejects.toMatchObject({
    code: 'WORKER_UNAVAILABLE',
  });
});

test('a tokens file maps certificates to workspaces and makes operators of them', async () => {
  await using directory = await temporaryDirectory();
  const authority = await createAuthority(directory.path);
  const pair = await authority.issue('server', 'IP:127.0.0.1');
  const clientCa = await readFile(authority.caFile, 'utf8');
  const tokens = [{ certificate: 'DNS:runner.example', workspace: 'a', name: 'runner', operator: true }];
  await using server = await startService({ tls: { ...pair, clientCa }, tokens });
  const identity = await authority.issue('runner', 'DNS:runner.example');
  using client = connectWorker({
    server: server.address,
    token: undefined,
    trust: { further: clientCa, identity },
    random,
  });
  expect((await client.control.capacity({ signal })).workers).toHaveLength(1);
  expect(await client.archives.resolve(OWN_WORKSPACE, { imageId: 'web' }, { signal })).toMatchObject({ generation: 7 });
});

test('a unix socket is for its owner, and a token is not sent in the clear to another machine', async () => {
  await using directory = await temporaryDirectory();
  await using server = await startService({ listen: `unix://${join(directory.path, 's.sock')}` });
  using client = server.client();
  expect(await client.builds.list('w', { limit: 1 }, { signal })).toEqual({ records: [], next: undefined });
  expect(() => connectWorker({ server: 'worker.example:7480', token: 't', trust: {}, random })).toThrow(
    expect.objectContaining({ code: 'CONFIG_INVALID' }),
  );
});

function codeOf(thrown: unknown): unknown {
  return (thrown as { readonly code?: unknown }).code;
}
