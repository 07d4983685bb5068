import { expect, test } from 'vitest';
import { digestOf } from '../../../src/digest/index.ts';
import {
  type Descriptor,
  formatPlatform,
  type Index,
  MEDIA_TYPES,
  type Platform,
  parsePlatform,
  samePlatform,
  selectPlatform,
} from '../../../src/oci/index.ts';

test.for<[text: string, platform: Platform, formatted: string]>([
  ['linux/amd64', { os: 'linux', architecture: 'amd64' }, 'linux/amd64'],
  ['Linux/x86_64', { os: 'linux', architecture: 'amd64' }, 'linux/amd64'],
  ['linux/aarch64', { os: 'linux', architecture: 'arm64' }, 'linux/arm64'],
  ['linux/arm64/v8', { os: 'linux', architecture: 'arm64', variant: 'v8' }, 'linux/arm64'],
  ['linux/arm/v6', { os: 'linux', architecture: 'arm', variant: 'v6' }, 'linux/arm/v6'],
  ['linux/armel', { os: 'linux', architecture: 'arm', variant: 'v6' }, 'linux/arm/v6'],
  ['linux/amd64/v3', { os: 'linux', architecture: 'amd64', variant: 'v3' }, 'linux/amd64/v3'],
])('%s is %j', ([text, platform, formatted]) => {
  expect(parsePlatform(text)).toEqual(platform);
  expect(formatPlatform(platform)).toBe(formatted);
});

test.for(['', 'linux', 'linux/', '/amd64', 'linux/amd64/v1/x', 'linux/am d64', 'linux/../x/y'])(
  '%j is no platform',
  (text) => {
    expect(() => parsePlatform(text)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  },
);

test('a missing variant is the one an architecture has by itself', () => {
  expect(samePlatform(parsePlatform('linux/arm64'), parsePlatform('linux/arm64/v8'))).toBe(true);
  expect(samePlatform(parsePlatform('linux/arm'), parsePlatform('linux/arm/v7'))).toBe(true);
  expect(samePlatform(parsePlatform('linux/arm'), parsePlatform('linux/arm/v6'))).toBe(false);
  expect(samePlatform(parsePlatform('linux/amd64'), parsePlatform('windows/amd64'))).toBe(false);
});

const entry = (name: string, platform?: string, annotations?: Record<string, string>): Descriptor => ({
  mediaType: MEDIA_TYPES.ociManifest,
  digest: digestOf(name),
  size: 1,
  ...(platform === undefined ? {} : { platform: parsePlatform(platform) }),
  ...(annotations === undefined ? {} : { annotations }),
});
const indexOf = (...manifests: Descriptor[]): Index => ({ schemaVersion: 2, manifests });

test('the image of a platform is chosen, never an attestation', () => {
  const index = indexOf(
    entry('statement', 'linux/amd64', { 'vnd.docker.reference.type': 'attestation-manifest' }),
    entry('unknown', 'unknown/unknown'),
    entry('arm', 'linux/arm64/v8'),
    entry('amd', 'linux/amd64'),
  );
  expect(selectPlatform(index, parsePlatform('linux/amd64')).digest).toBe(digestOf('amd'));
  expect(selectPlatform(index, parsePlatform('linux/arm64')).digest).toBe(digestOf('arm'));
  expect(() => selectPlatform(index, parsePlatform('linux/s390x'))).toThrow(
    expect.objectContaining({
      code: 'PLATFORM_NOT_FOUND',
      message: 'no image for linux/s390x; there is linux/arm64, linux/amd64',
    }),
  );
});

test('an only image without a platform is the one', () => {
  expect(selectPlatform(indexOf(entry('only')), parsePlatform('linux/amd64')).digest).toBe(digestOf('only'));
  expect(() => selectPlatform(indexOf(entry('a'), entry('b')), parsePlatform('linux/amd64'))).toThrow(
    expect.objectContaining({ code: 'PLATFORM_NOT_FOUND' }),
  );
  expect(() => selectPlatform(indexOf(), parsePlatform('linux/amd64'))).toThrow(
    expect.objectContaining({ code: 'PLATFORM_NOT_FOUND' }),
  );
});
