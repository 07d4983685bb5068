import { WorkerError } from '../../errors/index.ts';

/** Reads a glob one token at a time, as Go `filepath.Match` splits it. */
export type GlobToken =
  | { readonly kind: 'literal'; readonly char: string; readonly escaped: boolean }
  | { readonly kind: 'star' }
  | { readonly kind: 'any' }
  | {
      readonly kind: 'class';
      readonly negated: boolean;
      readonly ranges: readonly (readonly [low: string, high: string])[];
    };

/** Throws CONFIG_INVALID where Go says "syntax error in pattern": an open class, a range that runs backwards, a lone backslash. */
export function parseGlob(pattern: string): readonly GlobToken[] {
  const chars = Array.from(pattern);
  const tokens: GlobToken[] = [];
  let at = 0;
  const invalid = () =>
    new WorkerError('CONFIG_INVALID', `syntax error in pattern ${JSON.stringify(pattern)}`, { pattern });
  const next = (): string => {
    const char = chars[at++];
    if (char === undefined) throw invalid();
    return char;
  };
  const classChar = (): string => {
    const char = next();
    if (char === '-' || char === ']') throw invalid();
    const plain = char === '\\' ? next() : char;
    if (chars[at] === undefined) throw invalid();
    return plain;
  };
  while (at < chars.length) {
    const char = next();
    if (char === '*') tokens.push({ kind: 'star' });
    else if (char === '?') tokens.push({ kind: 'any' });
    else if (char === '\\') tokens.push({ kind: 'literal', char: next(), escaped: true });
    else if (char !== '[') tokens.push({ kind: 'literal', char, escaped: false });
    else {
      const negated = chars[at] === '^';
      if (negated) at++;
      const ranges: [string, string][] = [];
      while (chars[at] !== ']' || ranges.length === 0) {
        const low = classChar();
        let high = low;
        if (chars[at] === '-') {
          at++;
          high = classChar();
        }
        if (low > high) throw invalid();
        ranges.push([low, high]);
      }
      at++;
      tokens.push({ kind: 'class', negated, ranges });
    }
  }
  return tokens;
}

/** The source of a regular expression (flag `u`) for one token that is no star. */
export function tokenSource(token: Exclude<GlobToken, { kind: 'star' }>): string {
  switch (token.kind) {
    case 'literal':
      return escapeChar(token.char);
    case 'any':
      return '[^/]';
    case 'class': {
      const inner = token.ranges.map(([low, high]) =>
        low === high ? escapeInClass(low) : `${escapeInClass(low)}-${escapeInClass(high)}`,
      );
      return `[${token.negated ? '^' : ''}${inner.join('')}]`;
    }
  }
}

function escapeChar(char: string): string {
  return /[\\^$.*+?()[\]{}|/]/.test(char) ? `\\${char}` : char;
}

function escapeInClass(char: string): string {
  return /[\\\]^[-]/.test(char) ? `\\${char}` : char;
}

/** Whether a glob of one path segment matches a name; `*` and `?` do not match `/`. Throws CONFIG_INVALID. */
export function compileSegment(pattern: string): (name: string) => boolean {
  const source = parseGlob(pattern).map((token) => (token.kind === 'star' ? '[^/]*' : tokenSource(token)));
  const expression = new RegExp(`^${source.join('')}$`, 'u');
  return (name) => expression.test(name);
}

/** Whether a segment needs matching at all. */
export function hasWildcard(segment: string): boolean {
  return /[*?[]/.test(segment.replace(/\\./gsu, ''));
}
