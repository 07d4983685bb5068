import { describe, expect, test } from 'vitest';
import type { Finding, Severity } from '../../../src/release/index.ts';
import { mergeFindings } from '../../../src/release/scan/merge-findings.ts';

const JINJA = 'pkg:pypi/jinja2@3.1.2';
const LOGIN = 'pkg:deb/debian/login@1%3A4.13%2Bdfsg1-1%2Bb1';

function finding(rule: string, severity: Severity, of: string | undefined, aliases?: readonly string[]): Finding {
  return { rule, severity, message: rule, file: 'f', package: of, aliases };
}
const named = (findings: readonly Finding[]) => findings.map(({ rule, severity }) => `${rule} ${severity}`);

describe('what a program says of a package that advisories say too', () => {
  test.for([
    ['in the same words', 'CVE-1', JINJA],
    ['in another spelling of the name', 'CVE-1', 'pkg:pypi/Jinja2@3.1.2'],
    ['with qualifiers', 'CVE-1', `${JINJA}?file_name=x.whl`],
    ['by another id of the advisory', 'GHSA-1', JINJA],
  ] as const)('is said once, %s', ([, rule, of]) => {
    const merged = mergeFindings([finding('CVE-1', 'medium', JINJA, ['GHSA-1'])], [finding(rule, 'low', of)]);
    expect(named(merged)).toEqual(['CVE-1 medium']);
  });

  test('is said once with the epoch apart, as trivy has it', () => {
    const theirs = 'pkg:deb/debian/login@4.13%2Bdfsg1-1%2Bb1?arch=amd64&distro=debian-12&epoch=1';
    expect(named(mergeFindings([finding('CVE-1', 'low', LOGIN)], [finding('CVE-1', 'low', theirs)]))).toEqual([
      'CVE-1 low',
    ]);
    expect(
      mergeFindings([finding('CVE-1', 'low', LOGIN)], [finding('CVE-1', 'low', theirs.replace(/&epoch.*/, ''))]),
    ).toHaveLength(2);
  });

  test('is as grave as the graver has it, so that a gate cannot be passed by an advisory without a severity', () => {
    const ours = [finding('CVE-1', 'medium', JINJA), finding('CVE-1', 'medium', LOGIN)];
    expect(named(mergeFindings(ours, [finding('CVE-1', 'critical', JINJA)]))).toEqual([
      'CVE-1 critical',
      'CVE-1 medium',
    ]);
    expect(named(mergeFindings(ours, [finding('CVE-1', 'low', JINJA)]))).toEqual(['CVE-1 medium', 'CVE-1 medium']);
  });

  test.for([
    ['another advisory', 'CVE-2', JINJA],
    ['another version', 'CVE-1', 'pkg:pypi/jinja2@3.1.3'],
    ['another package', 'CVE-1', LOGIN],
    ['no package', 'CVE-1', undefined],
  ] as const)('%s stays', ([, rule, of]) => {
    expect(mergeFindings([finding('CVE-1', 'medium', JINJA)], [finding(rule, 'low', of)])).toHaveLength(2);
  });
});

test('findings about no package are never the same', () => {
  expect(mergeFindings([finding('X', 'low', undefined)], [finding('X', 'low', undefined)])).toHaveLength(2);
});
