import { expect, test } from 'vitest';
import { grpcTarget } from '../../../src/buildkit/address.ts';
import type { BuildRequest } from '../../../src/buildkit/index.ts';
import { frontendAttrsOf, solveRequestOf } from '../../../src/buildkit/solve-request.ts';

test.for<[what: string, request: Partial<BuildRequest>, attrs: Record<string, string>]>([
  ['nothing', {}, {}],
  ['a target', { target: 'final' }, { target: 'final' }],
  ['platforms', { platforms: ['linux/amd64', 'linux/arm64'] }, { platform: 'linux/amd64,linux/arm64' }],
  [
    'arguments and labels',
    { buildArgs: { A: '1', B: '' }, labels: { l: 'x' } },
    { 'build-arg:A': '1', 'build-arg:B': '', 'label:l': 'x' },
  ],
  ['a source date', { sourceDateEpoch: 0 }, { 'build-arg:SOURCE_DATE_EPOCH': '0' }],
  ['no cache', { noCache: true }, { 'no-cache': '' }],
  ['no network', { network: 'none' }, { 'force-network-mode': 'none' }],
  ['the default network', { network: 'default' }, {}],
  [
    'hosts',
    {
      addHosts: [
        { host: 'a', ip: '10.0.0.1' },
        { host: 'b', ip: '::1' },
      ],
    },
    { 'add-hosts': 'a=10.0.0.1,b=::1' },
  ],
  [
    'named contexts',
    { namedContexts: { src: { dir: '/x' }, base: { url: 'docker-image://a/b:c' } } },
    { 'context:src': 'local:context-src', 'context:base': 'docker-image://a/b:c' },
  ],
  [
    'attestations',
    { attestations: { provenance: { mode: 'max', version: 'v1' }, sbom: {} } },
    { 'attest:provenance': 'mode=max,version=v1', 'attest:sbom': '' },
  ],
  [
    'a cache to import',
    { cacheFrom: [{ type: 'registry', attrs: { ref: 'r/c' } }] },
    { 'cache-imports': '[{"Type":"registry","Attrs":{"ref":"r/c"}}]' },
  ],
])('%s becomes frontend attributes', ([, request, attrs]) => {
  expect(frontendAttrsOf({ contextDir: '/x', ...request }, 'Dockerfile')).toEqual({ filename: 'Dockerfile', ...attrs });
});

const IDS = { ref: 'r', sessionId: 's', dockerfileName: 'Dockerfile' };

test('layers are asked for uncompressed, blob by blob, without converting the base', () => {
  const { Exporters: exporters } = solveRequestOf({ contextDir: '/x' }, IDS);
  expect(exporters).toEqual([
    { Type: 'oci', Attrs: { tar: 'false', compression: 'uncompressed', 'oci-mediatypes': 'true' } },
  ]);
});

test('the host network asks for its entitlement', () => {
  expect(solveRequestOf({ contextDir: '/x', network: 'host' }, IDS).Entitlements).toEqual(['network.host']);
});

test.for<[address: string, target: string]>([
  ['unix:///run/buildkit/buildkitd.sock', 'unix:///run/buildkit/buildkitd.sock'],
  ['tcp://127.0.0.1:1234', 'dns:///127.0.0.1:1234'],
  ['tcp://[::1]:1234', 'dns:///[::1]:1234'],
])('%s is dialled as %s', ([address, target]) => {
  expect(grpcTarget(address)).toBe(target);
});

test.for(['', 'unix://', '/run/x.sock', 'http://host:1', 'tcp://host', 'tcp://host:port'])(
  '%j is no address',
  (address) => {
    expect(() => grpcTarget(address)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
  },
);
