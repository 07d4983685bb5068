import type { DeepPartial } from '../gen/github.com/moby/buildkit/api/services/control/control.ts';
import { MatchType, type Policy, PolicyAction } from '../gen/github.com/moby/buildkit/sourcepolicy/pb/policy.ts';
import type { SourceRule } from './source-rules.ts';

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
