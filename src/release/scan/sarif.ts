import type { Finding, Severity } from './finding.ts';

const LEVELS: Readonly<Record<Severity, 'error' | 'warning' | 'note'>> = {
  critical: 'error',
  high: 'error',
  medium: 'warning',
  low: 'note',
};
/** What code scanning sorts by (GitHub, "SARIF support", security-severity). */
const SCORES: Readonly<Record<Severity, string>> = { critical: '9.5', high: '8.0', medium: '5.5', low: '2.0' };

/** Findings as SARIF 2.1.0 (OASIS). */
export function sarifDocument(findings: readonly Finding[]): object {
  const rules = [...new Map(findings.map((finding) => [finding.rule, finding])).values()];
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: 'clipyard',
            rules: rules.map(({ rule, severity, url }) => ({
              id: rule,
              ...(url !== undefined && { helpUri: url }),
              properties: { 'security-severity': SCORES[severity] },
            })),
          },
        },
        results: findings.map(({ file, line, message, rule, severity, variant }) => ({
          ruleId: rule,
          ruleIndex: rules.findIndex((each) => each.rule === rule),
          level: LEVELS[severity],
          message: { text: variant === undefined ? message : `${variant}: ${message}` },
          locations: [
            {
              physicalLocation: {
                artifactLocation: { uri: encodeURI(file) },
                ...(line !== undefined && { region: { startLine: line } }),
              },
            },
          ],
        })),
      },
    ],
  };
}
