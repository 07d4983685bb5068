import { expect, test } from 'vitest';
import { requireSecure } from '../../../src/registry/endpoint.ts';
import { endpointOf, isLoopback } from '../../../src/registry/index.ts';

test.for([
  ['localhost', true],
  ['localhost:5000', true],
  ['127.0.0.1:5000', true],
  ['127.9.9.9', true],
  ['[::1]:5000', true],
  ['localhost.example', false],
  ['127.0.0.1.example', false],
  ['127.0.0.1.example:80', false],
  ['10.0.0.1', false],
  ['[::2]', false],
] as const)('%s is loopback: %s', ([host, loopback]) => {
  expect(isLoopback(host)).toBe(loopback);
});

test('plain http is spoken to loopback and to hosts that were asked for, https to all others', () => {
  expect(endpointOf('127.0.0.1:5000', false).href).toBe('http://127.0.0.1:5000/');
  expect(endpointOf('r.example', false).href).toBe('https://r.example/');
  expect(endpointOf('r.example:5000', ['r.example:5000']).href).toBe('http://r.example:5000/');
  expect(endpointOf('other.example', ['r.example:5000']).href).toBe('https://other.example/');
  expect(endpointOf('r.example', true).href).toBe('http://r.example/');
  expect(endpointOf('docker.io', false).href).toBe('https://registry-1.docker.io/');
});

test('an address that a registry names must not lead to plain http on another machine', () => {
  const insecure = expect.objectContaining({ code: 'REGISTRY_INSECURE' }) as Error;
  expect(() => {
    requireSecure(new URL('http://r.example/x'), false, 'the redirect');
  }).toThrow(insecure);
  expect(() => {
    requireSecure(new URL('file:///etc/passwd'), true, 'the redirect');
  }).toThrow(expect.objectContaining({ code: 'REGISTRY_PROTOCOL' }));
  requireSecure(new URL('http://127.0.0.1:1/x'), false, 'the redirect');
  requireSecure(new URL('https://r.example/x'), false, 'the redirect');
});
