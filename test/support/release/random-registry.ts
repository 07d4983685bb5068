import type { Digest } from '../../../src/digest/index.ts';
import type { RetentionRules } from '../../../src/release/index.ts';
import { MemoryRepository } from './memory-repository.ts';

/** Numbers by chance that are the same for a seed (mulberry32). */
export function seeded(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

export const NOW_MS = Date.UTC(2026, 5, 1);
const HOUR_MS = 3_600_000;

export interface RandomRegistry {
  readonly repository: MemoryRepository;
  readonly rules: RetentionRules;
}

/**
 * A repository with up to a dozen releases that share children, with attestations, referrers of everything, digest tags, moving,
 * branch and commit tags on any of them, and manifests that nothing names, old and young; and rules to clean it by.
 */
export function randomRegistry(seed: number): RandomRegistry {
  const chance = seeded(seed);
  const repository = new MemoryRepository();
  repository.hasReferrersApi = chance(3) > 0;
  repository.listsManifests = chance(2) === 0;
  const all: Digest[] = [];
  const keepTrack = (digest: Digest, ageHours = chance(96)) => {
    all.push(digest);
    if (repository.listsManifests && chance(4) > 0) repository.pushedMs.set(digest, NOW_MS - ageHours * HOUR_MS);
    return digest;
  };
  const any = () => all[chance(all.length)] as Digest;
  const created = () => (chance(8) === 0 ? undefined : new Date(NOW_MS - chance(400) * HOUR_MS).toISOString());
  const image = () => {
    const at = created();
    return keepTrack(
      repository.image({ name: `image ${chance(1_000_000)}`, ...(at !== undefined && { created: at }) }),
    );
  };
  const top = (): Digest => {
    if (all.length > 0 && chance(8) === 0) return any();
    if (chance(4) === 0) return image();
    const children: Digest[] = [];
    for (let left = 1 + chance(3); left > 0; left--) children.push(chance(3) === 0 && all.length > 0 ? any() : image());
    if (chance(2) === 0) children.push(keepTrack(repository.attestation(`attestation ${chance(1_000_000)}`)));
    return keepTrack(repository.index(children, { seed: String(chance(1_000_000)) }));
  };
  for (let left = 1 + chance(10); left > 0; left--) {
    const version = `${chance(3)}.${chance(12)}.${chance(3)}${chance(4) === 0 ? `-rc.${chance(3)}` : ''}`;
    repository.tags.set(version, top());
    if (chance(3) === 0) repository.tags.set(`${version}-python3.${9 + chance(3)}`, top());
  }
  for (const tag of ['latest', '1', 'main', 'python3.9', 'buildcache', '2026-01-02', 'pr-7', 'sha-0123456'])
    if (chance(3) === 0) repository.tags.set(tag, chance(4) === 0 ? top() : any());
  for (let left = chance(6); left > 0; left--) keepTrack(repository.referrer(any(), `referrer ${chance(1_000_000)}`));
  for (let left = chance(3); left > 0; left--) repository.fallbackTag(any(), [any()]);
  for (let left = chance(4); left > 0; left--) top();
  if (chance(4) === 0) repository.remove(any());
  const some = (share: number) => new Set(all.filter(() => chance(share) === 0));
  return {
    repository,
    rules: {
      keep: 1 + chance(5),
      order: chance(2) === 0 ? 'created' : 'version',
      graceMs: chance(72) * HOUR_MS,
      nowMs: NOW_MS,
      protect: chance(3) === 0 ? some(12) : new Set(),
      pinned: new Map(chance(3) === 0 ? [...some(12)].map((digest) => [digest, 'manifests/x.json']) : []),
      withCommitTags: chance(2) === 0,
      begun: chance(4) === 0 ? some(10) : new Set(),
    },
  };
}
