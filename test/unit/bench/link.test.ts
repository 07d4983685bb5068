import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseLink } from '../../../src/bench/index.ts';
import { TokenBucket } from '../../../src/bench/link/token-bucket.ts';

test.for<[text: string, bytesPerSecond: number, roundTripMs: number]>([
  ['90mbit,20ms', 11_250_000, 20],
  ['1gbit', 125_000_000, 0],
  ['100MB/s', 100_000_000, 0],
  ['10MiB/s, 0.5s', 10 * 1024 * 1024, 500],
  ['56kbit,120ms', 7000, 120],
])('%s is %i bytes a second and %i ms', ([text, bytesPerSecond, roundTripMs]) => {
  expect(parseLink(text)).toEqual({ bytesPerSecond, roundTripMs });
});

test.for(['', '90', '0mbit', '90mbit,20', '90mbit,20ms,1', 'fast', '-1mbit', '1gbyte'])('"%s" is no link', (text) => {
  expect(() => parseLink(text)).toThrow(expect.objectContaining({ code: 'USAGE' }));
});

test('a bucket lets a second of bytes through in a second, whoever asks for them', () => {
  const bucket = new TokenBucket({ bytesPerSecond: 1000, burstBytes: 0 });
  expect(bucket.reserve(400, 0)).toBe(400);
  expect(bucket.reserve(600, 0)).toBe(1000);
  expect(bucket.reserve(100, 5000)).toBe(5100);
});

test('an idle wire is worth a burst, and no more', () => {
  const bucket = new TokenBucket({ bytesPerSecond: 1000, burstBytes: 100 });
  expect(bucket.reserve(100, 10_000)).toBe(10_000);
  expect(bucket.reserve(100, 10_000)).toBe(10_100);
  expect(bucket.reserve(200, 60_000)).toBe(60_100);
});

test('no order of requests carries more than rate and burst allow', () => {
  const asked = fc.array(
    fc.record({ bytes: fc.integer({ min: 1, max: 5000 }), pauseMs: fc.integer({ min: 0, max: 3000 }) }),
  );
  fc.assert(
    fc.property(asked, (requests) => {
      const bucket = new TokenBucket({ bytesPerSecond: 1000, burstBytes: 500 });
      let nowMs = 0;
      let bytes = 0;
      let lastMs = 0;
      for (const request of requests) {
        nowMs += request.pauseMs;
        bytes += request.bytes;
        const doneMs = bucket.reserve(request.bytes, nowMs);
        expect(doneMs).toBeGreaterThanOrEqual(Math.max(nowMs, lastMs));
        expect(bytes).toBeLessThanOrEqual(doneMs + 500 + 1e-6);
        lastMs = doneMs;
      }
    }),
  );
});
