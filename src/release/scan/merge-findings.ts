import { type Finding, isAtLeast } from './finding.ts';
import { purlKey } from './packages/purl.ts';

/**
 * What advisories say of packages, and what a program says beside them. The same advisory, by any of its names, about the same
 * package is one finding: ours, as grave as the graver of the two has it.
 */
export function mergeFindings(advised: readonly Finding[], reported: readonly Finding[]): readonly Finding[] {
  const merged = new Map(advised.map((finding, at) => [at, finding]));
  const known = new Map<string, number[]>();
  for (const [at, finding] of merged)
    for (const key of keysOf(finding)) known.set(key, [...(known.get(key) ?? []), at]);
  const others = reported.filter((finding) => {
    const same = keysOf(finding).flatMap((key) => known.get(key) ?? []);
    for (const at of same) {
      const ours = merged.get(at);
      if (ours !== undefined && !isAtLeast(ours.severity, finding.severity))
        merged.set(at, { ...ours, severity: finding.severity });
    }
    return same.length === 0;
  });
  return [...merged.values(), ...others];
}

/** None of what is about no package. */
function keysOf({ aliases = [], package: purl, rule }: Finding): readonly string[] {
  return purl === undefined ? [] : [rule, ...aliases].map((id) => `${id}\0${purlKey(purl)}`);
}
