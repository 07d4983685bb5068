import { WorkerError } from '../../errors/index.ts';
import { cleanPath } from './clean-path.ts';
import { type GlobToken, parseGlob, tokenSource } from './glob.ts';

interface Pattern {
  /** Clean, without the `!`. */
  readonly text: string;
  /** `!pattern`: takes back what an earlier pattern matched. */
  readonly exception: boolean;
  readonly matches: (path: string) => boolean;
}

/** Which patterns matched a directory; handed down to its children, so that no path is matched against its parents again. */
export type ParentMatches = readonly boolean[];

export interface MatchResult {
  readonly matched: boolean;
  readonly inherited: ParentMatches;
}

/**
 * The patterns of a `.dockerignore` as github.com/moby/patternmatcher v0.6.1 reads them: later ones win, `!` takes back,
 * `**` crosses directories, and what matches a directory matches everything below it. Throws CONFIG_INVALID.
 */
export class PatternMatcher {
  readonly patterns: readonly Pattern[];

  constructor(patterns: readonly string[]) {
    this.patterns = patterns.flatMap((pattern) => {
      const trimmed = pattern.trim();
      return trimmed === '' ? [] : [compile(cleanPath(trimmed))];
    });
  }

  get hasExceptions(): boolean {
    return this.patterns.some(({ exception }) => exception);
  }

  /** Matches a path whose parent gave `parent` (undefined at the root). */
  match(path: string, parent: ParentMatches | undefined): MatchResult {
    let matched = false;
    const inherited = this.patterns.map((pattern, at) => {
      let hit = parent?.[at] ?? false;
      // An including pattern has nothing to add to a match, an exception nothing to take from none.
      if (!hit && pattern.exception === matched) hit = pattern.matches(path);
      if (hit) matched = !pattern.exception;
      return hit;
    });
    return { matched, inherited };
  }

  /** Whether a path could match below `directory`, judged by plain prefixes; true wherever a wildcard makes that unknown. */
  mayMatchBelow(directory: string, which: 'patterns' | 'exceptions'): boolean {
    return this.patterns
      .filter(({ exception }) => exception === (which === 'exceptions'))
      .map(({ text }) => withoutTrailingGlob(text))
      .some((prefix) => /[*[\]?^\\]/.test(prefix) || `${prefix}/`.startsWith(`${directory}/`));
  }
}

function withoutTrailingGlob(pattern: string): string {
  return pattern.replace(/\/\*\*$/, '').replace(/\/\*$/, '');
}

function compile(pattern: string): Pattern {
  const exception = pattern.startsWith('!');
  const text = exception ? pattern.slice(1) : pattern;
  if (text === '') throw new WorkerError('CONFIG_INVALID', 'illegal exclusion pattern: "!"', { pattern });
  return { text, exception, matches: matcherOf(text, parseGlob(text)) };
}

/** Plain comparisons for the common shapes, a regular expression for the rest. */
function matcherOf(text: string, tokens: readonly GlobToken[]): (path: string) => boolean {
  if (tokens.every(isPlain)) return (path) => path === text;
  if (isDoubleStar(tokens.slice(-2)) && tokens.slice(0, -2).every(isPlain)) {
    const prefix = text.slice(0, -2);
    return (path) => path.startsWith(prefix);
  }
  if (isDoubleStar(tokens.slice(0, 2)) && tokens.slice(2).every(isPlain)) {
    const suffix = text.slice(2);
    return (path) => path.endsWith(suffix) || (suffix.startsWith('/') && path === suffix.slice(1));
  }
  const expression = new RegExp(`^${expressionOf(tokens)}$`, 'u');
  return (path) => expression.test(path);
}

function isPlain(token: GlobToken): boolean {
  return token.kind === 'literal' && !token.escaped;
}

function isDoubleStar(tokens: readonly GlobToken[]): boolean {
  return tokens.length === 2 && tokens.every(({ kind }) => kind === 'star');
}

function expressionOf(tokens: readonly GlobToken[]): string {
  let source = '';
  for (let at = 0; at < tokens.length; at++) {
    const token = tokens[at] as GlobToken;
    if (token.kind !== 'star') {
      source += tokenSource(token);
      continue;
    }
    if (tokens[at + 1]?.kind !== 'star') {
      source += '[^/]*';
      continue;
    }
    at++;
    // `**/` is `**`; at the end it takes everything, elsewhere any number of whole directories.
    const after = tokens[at + 1];
    if (after?.kind === 'literal' && after.char === '/') at++;
    source += at + 1 >= tokens.length ? '[^\\n]*' : '([^\\n]*/)?';
  }
  return source;
}
