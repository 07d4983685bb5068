import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Credential, loadCredentials } from '../../../src/registry/index.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

const signal = new AbortController().signal;
let directory: TemporaryDirectory;
let env: Record<string, string | undefined>;
const base64 = (text: string) => Buffer.from(text).toString('base64');

beforeAll(async () => {
  directory = await temporaryDirectory('docker-config');
});
afterAll(async () => {
  await directory[Symbol.asyncDispose]();
});
beforeEach(() => {
  env = { DOCKER_CONFIG: directory.path, PATH: `${join(directory.path, 'bin')}:${process.env['PATH'] ?? ''}` };
});

async function credentialFor(host: string, config: unknown): Promise<unknown> {
  await writeFile(join(directory.path, 'config.json'), typeof config === 'string' ? config : JSON.stringify(config));
  return shown(await (await loadCredentials(env)).get(host, { signal }));
}

/** The credential with its secret in the open, for comparing. */
function shown(credential: Credential | undefined): unknown {
  if (credential === undefined) return undefined;
  return credential.kind === 'basic'
    ? [credential.username, credential.password.reveal()]
    : [credential.kind, credential.token.reveal()];
}

async function helper(name: string, script: string): Promise<void> {
  await mkdir(join(directory.path, 'bin'), { recursive: true });
  await writeFile(join(directory.path, 'bin', `docker-credential-${name}`), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

test.for<[title: string, host: string, auths: object, expected: unknown]>([
  ['auth', 'r.example', { 'r.example': { auth: base64('user:pa:ss') } }, ['user', 'pa:ss']],
  ['user and password', 'r.example', { 'r.example': { username: 'u', password: 'p' } }, ['u', 'p']],
  ['an address as key', 'r.example:5000', { 'https://r.example:5000/v2/': { auth: base64('u:p') } }, ['u', 'p']],
  ['another port', 'r.example:5001', { 'r.example:5000': { auth: base64('u:p') } }, undefined],
  ['another host', 'r.example', { 'rr.example': { auth: base64('u:p') } }, undefined],
  ['Docker Hub', 'docker.io', { 'https://index.docker.io/v1/': { auth: base64('u:p') } }, ['u', 'p']],
  [
    'an identity token',
    'r.example',
    { 'r.example': { auth: base64('u:'), identitytoken: 'it' } },
    ['identityToken', 'it'],
  ],
  ['a registry token', 'r.example', { 'r.example': { registrytoken: 'rt' } }, ['registryToken', 'rt']],
  ['an empty entry', 'r.example', { 'r.example': {} }, undefined],
  ['a host named like an object field', 'constructor', {}, undefined],
])('a login in the file: %s', async ([, host, auths, expected]) => {
  expect(await credentialFor(host, { auths })).toEqual(expected);
});

test('no file is no login', async () => {
  const credentials = await loadCredentials({ DOCKER_CONFIG: join(directory.path, 'nothing') });
  expect(await credentials.get('r.example', { signal })).toBeUndefined();
});

test('a broken file is named, and its content is not repeated', async () => {
  await expect(credentialFor('r.example', '{"auths": {"r": {"password": hunter2')).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.not.stringContaining('hunter2') as string,
  });
});

test('the helper of a host goes before the store and the file', async () => {
  await helper(
    'special',
    'read host; echo "{\\"ServerURL\\":\\"$host\\",\\"Username\\":\\"for-$host-$1\\",\\"Secret\\":\\"s1\\"}"',
  );
  await helper('store', 'echo \'{"Username":"wrong","Secret":"s2"}\'');
  const config = {
    auths: { 'r.example': { auth: base64('u:p') } },
    credsStore: 'store',
    credHelpers: { 'r.example': 'special' },
  };
  expect(await credentialFor('r.example', config)).toEqual(['for-r.example-get', 's1']);
  expect(await credentialFor('other.example', config)).toEqual(['wrong', 's2']);
});

test('a helper that has nothing leaves the word to the file', async () => {
  await helper('empty', 'echo "credentials not found in native keychain"; exit 1');
  expect(
    await credentialFor('r.example', { auths: { 'r.example': { auth: base64('u:p') } }, credsStore: 'empty' }),
  ).toEqual(['u', 'p']);
  expect(await credentialFor('x.example', { credsStore: 'empty' })).toBeUndefined();
});

test('Docker Hub is called by its old address', async () => {
  await helper('echo', 'read host; echo "{\\"Username\\":\\"$host\\",\\"Secret\\":\\"s\\"}"');
  expect(await credentialFor('docker.io', { credsStore: 'echo' })).toEqual(['https://index.docker.io/v1/', 's']);
});

test('a helper gives an identity token under a fixed user name', async () => {
  await helper('token', 'echo \'{"Username":"<token>","Secret":"refresh"}\'');
  expect(await credentialFor('r.example', { credsStore: 'token' })).toEqual(['identityToken', 'refresh']);
});

test.for([
  ['fails', 'echo "keychain is locked"; exit 1', 'keychain is locked'],
  ['is missing', '', 'not on the PATH'],
  ['answers no login', 'echo \'{"Username": 5, "Secret": "hunter2"}\'', 'no login'],
] as const)('a helper that %s is an error that keeps secrets', async ([name, script, message]) => {
  const helperName = name.replaceAll(' ', '-');
  if (script !== '') await helper(helperName, script);
  await expect(credentialFor('r.example', { credsStore: helperName })).rejects.toMatchObject({
    code: 'REGISTRY_UNAUTHENTICATED',
    message: expect.stringMatching(new RegExp(`^(?!.*hunter2).*${message}`)) as string,
  });
});

test('a helper that hangs ends with the abort', async () => {
  await helper('hang', 'exec sleep 60');
  await writeFile(join(directory.path, 'config.json'), JSON.stringify({ credsStore: 'hang' }));
  const reason = new Error('enough');
  const abort = new AbortController();
  const asked = (await loadCredentials(env)).get('r.example', { signal: abort.signal });
  abort.abort(reason);
  await expect(asked).rejects.toBe(reason);
});

test('a helper is a name, never a path', async () => {
  await expect(credentialFor('r.example', { credsStore: '../../bin/sh' })).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
  });
});
