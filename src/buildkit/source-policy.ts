import type { DeepPartial } from '../gen/github.com/moby/buildkit/api/services/control/control.ts';
import { MatchType, type Policy, PolicyAction } from '../gen/github.com/moby/buildkit/sourcepolicy/pb/policy.ts';

/**
 * One rule about what a build may read. Of all rules that match a source the last says whether it is allowed; the first
 * that converts it replaces it, and the rules are asked about what it became (BuildKit sourcepolicy/engine.go). Sources are
 * `docker-image://docker.io/library/debian:12`, `https://…`, `git://…`, `local://context`.
 */
export type SourceRule =
  | {
      readonly action: 'allow' | 'deny';
      /** With `*` for any text, or an expression of Go's regexp. */
      readonly sources: string | { readonly pattern: string };
    }
  | { readonly action: 'convert'; readonly source: string; readonly to: string };

/** The rules as the daemon takes them. */
export function policyOf(rules: readonly SourceRule[]): DeepPartial<Policy> {
  return { version: 1n, rules: rules.map(ruleOf) };
}

function ruleOf(rule: SourceRule) {
  switch (rule.action) {
    case 'convert':
      return {
        action: PolicyAction.CONVERT,
        selector: { identifier: rule.source, matchType: MatchType.EXACT },
        updates: { identifier: rule.to },
      };
    case 'allow':
    case 'deny':
      return {
        action: rule.action === 'allow' ? PolicyAction.ALLOW : PolicyAction.DENY,
        selector:
          typeof rule.sources === 'string'
            ? { identifier: rule.sources, matchType: MatchType.WILDCARD }
            : { identifier: rule.sources.pattern, matchType: MatchType.REGEX },
      };
  }
}
