import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { publishProfile, readProfile } from '../../../src/jobs/index.ts';
import { openStore } from '../../../src/objects/index.ts';
import {
  formatProfile,
  MAX_PROFILE_CHUNKS,
  mergeProfiles,
  parseProfile,
  profileBytes,
  profileOf,
} from '../../../src/trace/index.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { madeLayer, touchOf, traceOf } from './made-trace.ts';

const signal = new AbortController().signal;
const layers = [madeLayer('a', 40)];
const digestOf = (name: string) => createHash('sha256').update(name).digest().subarray(0, 16).toString('base64url');
const run = (...names: string[]) => ({
  runs: 1,
  chunks: names.map((name, order) => ({ digest: digestOf(name), runs: 1, order })),
});

test('the profile of a trace is its chunks in the order of their first touch', () => {
  const trace = traceOf(layers, [touchOf(layers, 0, 7), touchOf(layers, 0, 2, { chunkCount: 2 })]);
  const profile = profileOf(trace);
  expect(profile.chunks.map(({ digest }) => digest)).toEqual(trace.touches.flatMap(({ digests }) => digests));
  const digests = [7, 2, 3].map((chunk) => layers[0]?.chunkDigests.subarray(chunk * 32, chunk * 32 + 16));
  expect(profileBytes(profile)).toEqual(Buffer.concat(digests.map((digest) => digest ?? Buffer.alloc(0))));
});

test('merged runs add up, the earliest place counts', () => {
  const merged = mergeProfiles(run('a', 'b', 'c'), run('c', 'd'));
  expect(merged.runs).toBe(2);
  expect(merged.chunks).toEqual([
    { digest: digestOf('c'), runs: 2, order: 0 },
    { digest: digestOf('a'), runs: 1, order: 0 },
    ...[
      { digest: digestOf('b'), runs: 1, order: 1 },
      { digest: digestOf('d'), runs: 1, order: 1 },
    ].toSorted((a, b) => (a.digest < b.digest ? -1 : 1)),
  ]);
});

test('what few runs touch comes last, and is forgotten after many', () => {
  let profile = run('once', 'always');
  for (let runs = 1; runs < 6; runs += 1) profile = mergeProfiles(profile, run('always')) as typeof profile;
  expect(profile.chunks.map(({ digest }) => digest)).toEqual([digestOf('always'), digestOf('once')]);
  for (let runs = 0; runs < 200; runs += 1) profile = mergeProfiles(profile, run('always')) as typeof profile;
  expect(profile.chunks.map(({ digest }) => digest)).toEqual([digestOf('always')]);
  expect(parseProfile(formatProfile(profile))).toEqual(profile);
});

test('a merged profile does not grow without bound', () => {
  const names = (prefix: string) => Array.from({ length: MAX_PROFILE_CHUNKS }, (_, at) => `${prefix}${at}`);
  expect(mergeProfiles(run(...names('a')), run(...names('b'))).chunks).toHaveLength(MAX_PROFILE_CHUNKS);
});

test('what is written is read, and any truncation of it is TRACE_INVALID', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string({ maxLength: 4 }), { maxLength: 8 }), (names) => {
      const text = formatProfile(run(...names));
      expect(parseProfile(text)).toEqual(run(...names));
      for (let length = 0; length < text.length - 1; length += 7)
        expect(() => parseProfile(text.slice(0, length))).toThrow(expect.objectContaining({ code: 'TRACE_INVALID' }));
    }),
    { numRuns: 20 },
  );
});

test('a published profile is merged over runs, and found by its entry point or by any', async () => {
  await using directory = await temporaryDirectory('profiles');
  await using store = openStore(pathToFileURL(join(directory.path, 'store')).href, {});
  const name = { folder: 'profiles/team/web', platform: 'linux/amd64', entry: 'serve' };
  const any = { ...name, entry: '' };
  expect(await readProfile(store, name, { signal })).toBeUndefined();
  await publishProfile(store, any, run('a'), { signal });
  expect((await readProfile(store, name, { signal }))?.chunks).toHaveLength(1);
  await publishProfile(store, name, run('a', 'b'), { signal });
  const { profile, url } = await publishProfile(store, name, run('a', 'c'), { signal });
  expect(profile).toMatchObject({ runs: 2, chunks: [{ digest: digestOf('a'), runs: 2 }, {}, {}] });
  expect(url).toMatch(/profiles\/team\/web\/linux-amd64\/entry-[0-9a-f]{16}\.json$/);
  expect(await readProfile(store, name, { signal })).toEqual(profile);
  expect((await readProfile(store, any, { signal }))?.runs).toBe(1);
  // Two that publish at once: neither is lost.
  await Promise.all(['d', 'e'].map((chunk) => publishProfile(store, name, run(chunk), { signal })));
  expect((await readProfile(store, name, { signal }))?.runs).toBe(4);
});
