import { once } from 'node:events';
import { symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { BuildkitClient } from '../../../src/buildkit/index.ts';
import { parseIndex } from '../../../src/oci/index.ts';
import { serviceSetting } from '../../support/services.ts';
import { BASE, build, connect, failureOf, fresh, runStep, Workplace } from './harness.ts';

let client: BuildkitClient;
let place: Workplace;

beforeAll(async () => {
  client = await connect();
});
afterAll(async () => {
  await client[Symbol.asyncDispose]();
});
beforeEach(async () => {
  place = await Workplace.open();
});
afterEach(async () => {
  await place[Symbol.asyncDispose]();
});

test('build arguments reach the steps', async () => {
  const contextDir = await place.context({
    Dockerfile: `${BASE}ARG GREETING=none\n${runStep('echo -n $GREETING > /out')}`,
  });
  const { image } = await build(client, place, { contextDir, buildArgs: { GREETING: 'hello, w=orld' } });
  expect(await image.fileText('out')).toBe('hello, w=orld');
});

test('the target decides what is built', async () => {
  const contextDir = await place.context({
    Dockerfile: 'FROM scratch AS one\nCOPY a /\nFROM scratch AS two\nCOPY b /\n',
    a: '1',
    b: '2',
  });
  const { image } = await build(client, place, { contextDir, target: 'one' });
  expect(await image.layerNames()).toEqual(['a']);
});

test('labels go into the configuration', async () => {
  const contextDir = await place.context({ Dockerfile: 'FROM scratch\nCOPY a /\n', a: '1' });
  const { image } = await build(client, place, { contextDir, labels: { 'org.example.x': 'y z' } });
  expect((await image.config()).config?.Labels).toMatchObject({ 'org.example.x': 'y z' });
});

test('steps are cached, and run again without the cache', async () => {
  const contextDir = await place.context({ Dockerfile: `${BASE}${runStep(`echo ${fresh()} > /out`)}` });
  const first = await build(client, place, { contextDir });
  const second = await build(client, place, { contextDir });
  const third = await build(client, place, { contextDir, noCache: true });
  expect([first, second, third].map(({ result: { cachedSteps, steps } }) => [steps, cachedSteps === steps])).toEqual([
    [2, false],
    [2, true],
    [2, false],
  ]);
  expect(second.result.descriptor.digest).toBe(first.result.descriptor.digest);
});

test('a source date is the date of the image', async () => {
  const contextDir = await place.context({ Dockerfile: 'FROM scratch\nCOPY a /\n', a: fresh() });
  const { image } = await build(client, place, { contextDir, sourceDateEpoch: 86_400 });
  expect((await image.config()).created).toBe('1970-01-02T00:00:00Z');
});

test('a Dockerfile may lie outside the context, and come as bytes', async () => {
  const contextDir = await place.context({ a: '1' });
  await writeFile(join(place.path, 'Elsewhere'), 'FROM scratch\nCOPY a /from-elsewhere\n');
  const outside = await build(client, place, { contextDir, dockerfile: { file: join(place.path, 'Elsewhere') } });
  expect(await outside.image.layerNames()).toEqual(['from-elsewhere']);
  const bytes = await build(client, place, {
    contextDir,
    dockerfile: { bytes: Buffer.from('FROM scratch\nCOPY a /from-bytes\n') },
  });
  expect(await bytes.image.layerNames()).toEqual(['from-bytes']);
});

test('a Dockerfile may be a link to elsewhere', async () => {
  const contextDir = await place.context({ a: '1' });
  await writeFile(join(place.path, 'Shared'), 'FROM scratch\nCOPY a /linked\n');
  await symlink('../Shared', join(contextDir, 'Dockerfile'));
  const { image } = await build(client, place, { contextDir });
  expect(await image.layerNames()).toEqual(['linked']);
});

test('a lower-case dockerfile is found', async () => {
  const contextDir = await place.context({ dockerfile: 'FROM scratch\nCOPY a /\n', a: '1' });
  expect(await (await build(client, place, { contextDir })).image.layerNames()).toEqual(['a']);
});

test('hosts are added for the steps', async () => {
  const contextDir = await place.context({
    Dockerfile: `${BASE}${runStep('grep registry.example /etc/hosts > /out')}`,
  });
  const { image } = await build(client, place, {
    contextDir,
    addHosts: [{ host: 'registry.example', ip: '10.1.2.3' }],
  });
  expect((await image.fileText('out')).split(/\s+/).filter(Boolean)).toEqual(['10.1.2.3', 'registry.example']);
});

test('two platforms make an index of two manifests', async () => {
  const contextDir = await place.context({ Dockerfile: 'FROM scratch\nCOPY a /\n', a: fresh() });
  const { image, result } = await build(client, place, { contextDir, platforms: ['linux/amd64', 'linux/arm64'] });
  const signal = AbortSignal.timeout(10_000);
  const { manifests } = parseIndex(await image.layout.readBlob(result.descriptor, { maxBytes: 1e6, signal }));
  expect(manifests.map(({ platform }) => platform?.architecture)).toEqual(['amd64', 'arm64']);
  await image.layout.setTag('latest', result.descriptor, { signal });
  expect((await image.layout.verify({ signal })).problems).toEqual([]);
});

describe('secrets', () => {
  const mount = '--mount=type=secret,id=ca-bundle,target=/etc/ssl/certs/ca-certificates.crt';

  test('reach the step from a file or from bytes', async () => {
    await writeFile(join(place.path, 'secret'), 'from a file');
    const script = `cat /run/secrets/a /run/secrets/b > /out; : ${fresh()}`;
    const contextDir = await place.context({
      Dockerfile: `${BASE}${runStep(script, '--mount=type=secret,id=a --mount=type=secret,id=b')}`,
    });
    const secrets = { a: { file: join(place.path, 'secret') }, b: { bytes: Buffer.from(', from bytes') } };
    const { image } = await build(client, place, { contextDir, secrets });
    expect(await image.fileText('out')).toBe('from a file, from bytes');
  });

  test('leave no trace in any layer, neither their bytes nor where they were mounted', async () => {
    const token = fresh();
    const script = `/bin/busybox grep -q ${token.slice(0, 8)} /etc/ssl/certs/ca-certificates.crt && echo used > /out`;
    const contextDir = await place.context({ Dockerfile: `${BASE}${runStep(script, mount)}` });
    const { image, result } = await build(client, place, {
      contextDir,
      secrets: { 'ca-bundle': { bytes: Buffer.from(token) } },
    });
    const names = await image.layerNames();
    expect(names).toContain('out');
    expect(names.filter((name) => name.startsWith('etc'))).toEqual([]);
    for (const blob of result.blobs) {
      const bytes = await image.layout.readBlob(
        { digest: blob.digest, size: blob.sizeBytes },
        { maxBytes: 1e8, signal: AbortSignal.timeout(10_000) },
      );
      expect(Buffer.from(bytes).includes(token)).toBe(false);
    }
  });

  test('mounted over a file leave that file as it was', async () => {
    const base = `${BASE}COPY own.crt /etc/ssl/certs/ca-certificates.crt\n`;
    const contextDir = await place.context({
      Dockerfile: `${base}${runStep(`cat /etc/ssl/certs/ca-certificates.crt > /out; : ${fresh()}`, mount)}`,
      'own.crt': 'own',
    });
    const { image } = await build(client, place, {
      contextDir,
      secrets: { 'ca-bundle': { bytes: Buffer.from('theirs') } },
    });
    expect(await image.fileText('out')).toBe('theirs');
    expect((await image.layerNames()).filter((name) => name.startsWith('etc/ssl'))).toEqual([]);
    expect(await image.fileText('etc/ssl/certs/ca-certificates.crt', -2)).toBe('own');
  });

  test('that are optional and were not given are not there', async () => {
    const contextDir = await place.context({
      Dockerfile: `${BASE}${runStep(`test ! -e /run/secrets/nope && echo none > /out; : ${fresh()}`, '--mount=type=secret,id=nope')}`,
    });
    const { image } = await build(client, place, { contextDir });
    expect(await image.fileText('out')).toBe('none\n');
  });

  test('are not part of the cache key', async () => {
    const contextDir = await place.context({ Dockerfile: `${BASE}${runStep(`: ${fresh()}`, mount)}` });
    await build(client, place, { contextDir, secrets: { 'ca-bundle': { bytes: Buffer.from('one') } } });
    const { result } = await build(client, place, {
      contextDir,
      secrets: { 'ca-bundle': { bytes: Buffer.from('two') } },
    });
    expect(result.cachedSteps).toBe(result.steps);
  });
});

describe('an ssh agent', () => {
  test('stands in the step as a socket', async () => {
    const script = `test -S $SSH_AUTH_SOCK && echo -n yes > /out; : ${fresh()}`;
    const contextDir = await place.context({ Dockerfile: `${BASE}${runStep(script, '--mount=type=ssh')}` });
    const { image } = await build(client, place, { contextDir, ssh: { default: join(place.path, 'agent.sock') } });
    expect(await image.fileText('out')).toBe('yes');
  });

  test('that was not given fails the step', async () => {
    const contextDir = await place.context({
      Dockerfile: `${BASE}${runStep('true', '--mount=type=ssh,required=true')}`,
    });
    const failure = await failureOf(build(client, place, { contextDir }));
    expect(failure.message).toMatch(/ssh/i);
  });
});

describe('registries', () => {
  test('get the login that belongs to their host', async () => {
    const seen: (string | undefined)[] = [];
    const registry = createServer((request, response) => {
      seen.push(request.headers.authorization);
      const status = request.headers.authorization === undefined ? 401 : 404;
      response.writeHead(status, { 'www-authenticate': 'Basic realm="test"' }).end();
    });
    registry.listen(0, '127.0.0.1');
    await once(registry, 'listening');
    const host = `127.0.0.1:${(registry.address() as AddressInfo).port}`;
    try {
      const contextDir = await place.context({ Dockerfile: `FROM ${host}/a/b:c\n` });
      const logins = {
        get: (asked: string) => Promise.resolve(asked === host ? { username: 'me', secret: 'pass' } : undefined),
      };
      const failure = await failureOf(build(client, place, { contextDir, logins }));
      expect(failure.code).toBe('BUILD_SOURCE_FAILED');
      expect(seen).toContain(`Basic ${Buffer.from('me:pass').toString('base64')}`);
    } finally {
      registry.close();
    }
  });

  test('take a cache and give it back', async () => {
    const ref = `${serviceSetting('CLIPYARD_REGISTRY')}/buildkit-test/cache-${fresh()}:latest`;
    const contextDir = await place.context({ Dockerfile: `${BASE}${runStep(`: ${fresh()}`)}` });
    await build(client, place, { contextDir, cacheTo: [{ type: 'registry', attrs: { ref, mode: 'max' } }] });
    const { events } = await build(client, place, { contextDir, cacheFrom: [{ type: 'registry', attrs: { ref } }] });
    const imports = events.flatMap((event) =>
      event.type === 'step-ended' && event.name.includes(ref) ? [event.outcome] : [],
    );
    expect(imports).toEqual(['done']);
  });
});
