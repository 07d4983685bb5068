import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openStore } from '../../../src/objects/index.ts';
import { createRegistryClient } from '../../../src/registry/index.ts';
import { readAuthorities, type Trust } from '../../../src/tls/index.ts';
import { type Certificate, createAuthority, type TestAuthority } from '../../support/certificates.ts';
import { commandError, commandJson, runCommand } from '../../support/command-line.ts';
import { tarStream, writeLayout } from '../../support/corpus/index.ts';
import { pushLayout } from '../../support/push-layout.ts';
import { serviceSetting } from '../../support/services.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';
import { startTlsProxy } from '../../support/tls-proxy.ts';

// A registry at a loopback address is spoken to by plain http; this one leads to the same place, and is none.
const HOST = '0.0.0.0';
const NAMES = `IP:${HOST},IP:127.0.0.1`;
const signal = new AbortController().signal;

let directory: TemporaryDirectory;
let authority: TestAuthority;
let good: Certificate;

beforeAll(async () => {
  directory = await temporaryDirectory('tls');
  authority = await createAuthority(directory.path);
  good = await authority.issue('good', NAMES);
});

afterAll(async () => {
  await directory[Symbol.asyncDispose]();
});

const trusted = (): Trust => ({ further: readAuthorities(authority.caFile) });

type Fault = readonly [name: string, certificate: () => Promise<Certificate>, trust: () => Trust, says: RegExp];
const faults: readonly Fault[] = [
  ['self-signed', () => authority.selfSigned(NAMES), () => ({}), /signed by itself .*CLIPYARD_CA_FILE/],
  ['of an unknown authority', () => Promise.resolve(good), () => ({}), /of an unknown authority .*CLIPYARD_CA_FILE/],
  ['expired', () => authority.issue('expired', NAMES, -1), trusted, /expired .*clock/],
  [
    'for another name',
    () => authority.issue('other', 'DNS:registry.test'),
    trusted,
    /for another name .*address the server by a name/,
  ],
];

test.for(faults)(
  'a registry whose certificate is %s is TLS_UNTRUSTED at the first try',
  async ([, make, trust, says]) => {
    await using proxy = await startTlsProxy(serviceSetting('CLIPYARD_REGISTRY'), await make());
    await using client = createRegistryClient({ trust: trust() });
    const host = `${HOST}:${proxy.port}`;
    await expect(client.ping(host, { signal })).rejects.toMatchObject({
      code: 'TLS_UNTRUSTED',
      retryable: false,
      message: expect.stringMatching(says) as string,
      details: { host },
    });
    expect(proxy.connections).toBe(1);
  },
);

test.for(faults)('a store whose certificate is %s is TLS_UNTRUSTED at the first try', async ([, make, trust, says]) => {
  await using proxy = await startTlsProxy(new URL(serviceSetting('AWS_ENDPOINT_URL')).host, await make());
  const env = { ...process.env, AWS_ENDPOINT_URL: `https://127.0.0.1:${proxy.port}` };
  await using store = openStore(serviceSetting('CLIPYARD_STORE'), env, trust());
  await expect(store.head('x', { signal })).rejects.toMatchObject({
    code: 'TLS_UNTRUSTED',
    retryable: false,
    message: expect.stringMatching(says) as string,
    details: { host: `127.0.0.1:${proxy.port}` },
  });
  expect(proxy.connections).toBe(1);
});

test('a registry and a store of an authority that CLIPYARD_CA_FILE names are believed', async () => {
  await using registry = await startTlsProxy(serviceSetting('CLIPYARD_REGISTRY'), good);
  await using client = createRegistryClient({ trust: trusted() });
  await client.ping(`${HOST}:${registry.port}`, { signal });

  await using s3 = await startTlsProxy(new URL(serviceSetting('AWS_ENDPOINT_URL')).host, good);
  const env = { ...process.env, AWS_ENDPOINT_URL: `https://127.0.0.1:${s3.port}` };
  await using store = openStore(`${serviceSetting('CLIPYARD_STORE')}/tls`, env, trusted());
  await store.put('hello', 'world', { signal });
  expect(await store.head('hello', { signal })).toMatchObject({ sizeBytes: 5 });
});

test('commands and the fetcher of layers believe the authorities in CLIPYARD_CA_FILE, and only those', async () => {
  await using registry = await startTlsProxy(serviceSetting('CLIPYARD_REGISTRY'), good);
  const world = 'world'.repeat(20_000); // a small file would lie in the archive itself
  const image = await writeLayout(
    join(directory.path, 'layout'),
    [tarStream([{ type: '0', name: 'hello', data: world }])],
    'zstd',
  );
  const repository = { registry: serviceSetting('CLIPYARD_REGISTRY'), repository: 'test/tls' };
  await pushLayout(image, repository);
  const reference = `docker://${HOST}:${registry.port}/test/tls:latest`;
  const archive = join(directory.path, 'archive.clip');
  const env = { SSL_CERT_FILE: '', NODE_EXTRA_CA_CERTS: '' };
  const believing = { ...env, CLIPYARD_CA_FILE: authority.caFile };

  await commandJson(['index', '--from', reference, '--output', archive], believing);
  const cat = ['cat', archive, '/hello', '--cache', join(directory.path, 'cache')];
  expect(await runCommand(cat, believing)).toMatchObject({ exitCode: 0, stdout: world });

  const untrusted = { code: 'TLS_UNTRUSTED', exitCode: 77 };
  const again = join(directory.path, 'again.clip');
  expect(await commandError(['index', '--from', reference, '--output', again], env)).toMatchObject(untrusted);
  const cold = ['cat', archive, '/hello', '--cache', join(directory.path, 'cold')];
  expect(await commandError(cold, env)).toMatchObject({
    ...untrusted,
    message: expect.stringMatching(/of an unknown authority .*CLIPYARD_CA_FILE/) as string,
  });
});

test('a CLIPYARD_CA_FILE that cannot be used is CONFIG_INVALID before anything is sent', async () => {
  const rubbish = join(directory.path, 'rubbish.pem');
  await writeFile(rubbish, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
  for (const file of [join(directory.path, 'missing.pem'), join(directory.path, 'good.key'), rubbish]) {
    const index = ['index', '--from', `docker://${HOST}:1/test/tls:latest`, '--output', join(directory.path, 'none')];
    const error = await commandError(index, { CLIPYARD_CA_FILE: file });
    expect.soft(error, file).toMatchObject({ code: 'CONFIG_INVALID', exitCode: 64 });
  }
});
