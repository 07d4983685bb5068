import { createHash } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PeerCertificate } from 'node:tls';
import { expect, test } from 'vitest';
import { byCommonName, byGrants, trustEverybody } from '../../../src/service/auth/authenticate.ts';
import { parseGrants } from '../../../src/service/auth/grants.ts';
import { openGrantsFile } from '../../../src/service/auth/grants-file.ts';
import { silentLog } from '../../../src/telemetry/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const sha256 = (token: string) => createHash('sha256').update(token).digest('hex');
const NOBODY = { token: undefined, certificate: undefined, workspace: undefined };
const GRANTS = [
  { sha256: sha256('of-a'), workspace: 'a', name: 'team a' },
  { sha256: sha256('of-op'), workspace: 'ops', name: 'operator', operator: true },
  { sha256: sha256('ended'), workspace: 'a', name: 'old', expiresAt: '2020-01-01T00:00:00Z' },
  { certificate: 'CN:ci', workspace: 'c', name: 'ci by name' },
  { certificate: 'DNS:runner.example', workspace: 'd', name: 'runner' },
];
const authenticate = byGrants(() => Promise.resolve(parseGrants(JSON.stringify(GRANTS))), Date.now);
const certificate = (cn: string | readonly string[], subjectaltname?: string) =>
  ({ subject: { CN: cn }, subjectaltname }) as unknown as PeerCertificate;

test('a token names workspace and rights', async () => {
  expect(await authenticate({ ...NOBODY, token: 'of-a' })).toEqual({
    workspaceId: 'a',
    operator: false,
    name: 'team a',
  });
  expect(await authenticate({ ...NOBODY, token: 'of-op' })).toMatchObject({ workspaceId: 'ops', operator: true });
});

test.for([
  ['no token', NOBODY],
  ['an unknown token', { ...NOBODY, token: 'guess' }],
  ['a token that has ended', { ...NOBODY, token: 'ended' }],
  ['an unknown token beside a known certificate', { ...NOBODY, token: 'guess', certificate: certificate('ci') }],
  ['an unknown certificate', { ...NOBODY, certificate: certificate('other') }],
  ['a certificate with two common names', { ...NOBODY, certificate: certificate(['ci', 'ci']) }],
  ['an alternative name with a comma', { ...NOBODY, certificate: certificate('x', 'DNS:"a, DNS:runner.example"') }],
] as const)('%s is refused', async ([, credentials]) => {
  await expect(authenticate(credentials)).rejects.toMatchObject({ code: 'WORKER_UNAUTHENTICATED' });
});

test('a refusal does not repeat the token', async () => {
  await expect(authenticate({ ...NOBODY, token: 'swordfish' })).rejects.not.toMatchObject({
    message: expect.stringContaining('swordfish') as string,
  });
});

test('a certificate is known by its common name or an alternative one', async () => {
  expect(await authenticate({ ...NOBODY, certificate: certificate('ci') })).toMatchObject({ workspaceId: 'c' });
  const runner = certificate('x', 'DNS:other.example, DNS:runner.example');
  expect(await authenticate({ ...NOBODY, certificate: runner })).toMatchObject({ workspaceId: 'd' });
});

test('a call that asks for another workspace than its token has is denied', async () => {
  await expect(authenticate({ ...NOBODY, token: 'of-a', workspace: 'b' })).rejects.toMatchObject({
    code: 'WORKER_DENIED',
  });
  expect(await authenticate({ ...NOBODY, token: 'of-a', workspace: 'a' })).toMatchObject({ workspaceId: 'a' });
});

test('without a tokens file the common name is the workspace, and nobody an operator', async () => {
  expect(await byCommonName({ ...NOBODY, certificate: certificate('team') })).toEqual({
    workspaceId: 'team',
    operator: false,
    name: 'CN:team',
  });
  await expect(byCommonName(NOBODY)).rejects.toMatchObject({ code: 'WORKER_UNAUTHENTICATED' });
});

test('on a loopback address the call names the workspace, or the default is taken', async () => {
  const trusting = trustEverybody('default');
  expect(await trusting(NOBODY)).toEqual({ workspaceId: 'default', operator: true, name: 'local' });
  expect(await trusting({ ...NOBODY, workspace: 'w' })).toMatchObject({ workspaceId: 'w' });
  await expect((async () => await trusting({ ...NOBODY, workspace: '../x' }))()).rejects.toMatchObject({
    code: 'WORKSPACE_ID_INVALID',
  });
});

test('a tokens file is read again when it changes, and a broken one leaves the last in force', async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'tokens.json');
  const put = async (content: string) => {
    await writeFile(`${path}.new`, content);
    await rename(`${path}.new`, path);
  };
  await put(JSON.stringify(GRANTS));
  const grants = await openGrantsFile(path, silentLog());
  expect(await grants()).toHaveLength(5);
  await put(JSON.stringify(GRANTS.slice(0, 1)));
  expect(await grants()).toHaveLength(1);
  await put('[{"sha256": "short"}]');
  expect(await grants()).toHaveLength(1);
  await rm(path);
  expect(await grants()).toHaveLength(1);
  await put('[]');
  expect(await grants()).toEqual([]);
});

test.for(['', '{}', '[{"workspace": "a"}]', '[{"sha256": "00", "workspace": "a", "name": "n"}]'])(
  'a tokens file of %j is CONFIG_INVALID at the start',
  async (content) => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'tokens.json');
    await writeFile(path, content);
    await expect(openGrantsFile(path, silentLog())).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  },
);
