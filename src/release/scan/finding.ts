/** Gravest first. */
export const SEVERITIES = ['critical', 'high', 'medium', 'low'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** One thing that a scan has against a Dockerfile or an image. */
export interface Finding {
  /** `DL/StageNameCasing`, `IMG/root`, or the id of an advisory. */
  readonly rule: string;
  readonly severity: Severity;
  readonly message: string;
  /** The Dockerfile, or a file of the image. */
  readonly file: string;
  /** From 1, where it is known. */
  readonly line?: number | undefined;
  readonly url?: string | undefined;
  /** The purl of the package it is about. */
  readonly package?: string | undefined;
  /** Other ids of the same advisory, as `CVE-…` of `GHSA-…`. */
  readonly aliases?: readonly string[] | undefined;
  /** Of the image it was found in; undefined for the Dockerfile, which all variants share. */
  readonly variant?: string | undefined;
}

export function isAtLeast(severity: Severity, least: Severity): boolean {
  return SEVERITIES.indexOf(severity) <= SEVERITIES.indexOf(least);
}

/** Gravest first, then by rule and place, so that two runs say the same. */
export function sortFindings(findings: readonly Finding[]): readonly Finding[] {
  const keyOf = ({ file, line = 0, message, rule, variant = '' }: Finding) =>
    [rule, variant, file, String(line).padStart(8, '0'), message].join('\0');
  return findings.toSorted(
    (one, other) =>
      SEVERITIES.indexOf(one.severity) - SEVERITIES.indexOf(other.severity) || (keyOf(one) < keyOf(other) ? -1 : 1),
  );
}
