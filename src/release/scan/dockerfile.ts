import type { LintWarning } from '../../buildkit/index.ts';
import type { Finding, Severity } from './finding.ts';

/** Rules of BuildKit's lint that are more than a matter of style. */
const GRAVE: Readonly<Record<string, Severity>> = {
  SecretsUsedInArgOrEnv: 'high',
  UndefinedVar: 'medium',
  UndefinedArgInFrom: 'medium',
  InvalidDefaultArgInFrom: 'medium',
  CopyIgnoredFile: 'medium',
  RelativeWorkdir: 'medium',
};

/** BuildKit's warnings as findings: `RuleName: what is wrong (line 7)`. */
export function dockerfileFindings(warnings: readonly LintWarning[], file: string): readonly Finding[] {
  return warnings.map(({ text, url }) => {
    const [, rule, message, line] = /^(\w+): (.*?)(?: \(line (\d+)\))?$/s.exec(text) ?? [];
    return {
      rule: `DL/${rule ?? 'warning'}`,
      severity: GRAVE[rule ?? ''] ?? 'low',
      message: message ?? text,
      file,
      line: line === undefined ? undefined : Number(line),
      url,
    };
  });
}
