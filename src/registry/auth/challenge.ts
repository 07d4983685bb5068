/** One entry of a WWW-Authenticate header (RFC 9110, 11.6.1). */
export interface Challenge {
  /** Lower case. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: Readonly<Record<string, string>>;
}

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const PARAMETER = /([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/y;
const GAP = /[\s,]*/y;

/** Reads the challenges of a header; what cannot be read ends the list. */
export function parseChallenges(header: string): readonly Challenge[] {
  const challenges: Challenge[] = [];
  let at = matchAt(GAP, header, 0)?.end ?? 0;
  while (at < header.length) {
    const scheme = matchAt(TOKEN, header, at);
    if (scheme === undefined) break;
    const parameters: Record<string, string> = {};
    at = matchAt(GAP, header, scheme.end)?.end ?? scheme.end;
    for (;;) {
      const parameter = matchAt(PARAMETER, header, at);
      const [name, quoted, plain] = parameter?.groups ?? [];
      if (parameter === undefined || name === undefined) break;
      parameters[name.toLowerCase()] = quoted?.replaceAll(/\\(.)/g, '$1') ?? plain ?? '';
      at = matchAt(GAP, header, parameter.end)?.end ?? parameter.end;
    }
    challenges.push({ scheme: scheme.text.toLowerCase(), parameters });
  }
  return challenges;
}

function matchAt(
  sticky: RegExp,
  text: string,
  at: number,
): { text: string; end: number; groups: readonly (string | undefined)[] } | undefined {
  sticky.lastIndex = at;
  const match = sticky.exec(text);
  return match === null ? undefined : { text: match[0], end: at + match[0].length, groups: match.slice(1) };
}
