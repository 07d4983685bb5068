import { cleanPath } from './clean-path.ts';

/**
 * The patterns of a `.dockerignore` as github.com/moby/patternmatcher/ignorefile (ReadAll) reads them: a line each, `#` begins
 * a comment in its first column, a `/` in front means nothing, paths are made clean.
 */
export function parseDockerignore(text: string): readonly string[] {
  return text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .filter((line) => !line.startsWith('#'))
    .flatMap((line) => patternOf(line.trim()));
}

function patternOf(line: string): readonly string[] {
  if (line === '') return [];
  const isException = line.startsWith('!');
  const rest = isException ? line.slice(1).trim() : line;
  const clean = rest === '' ? '' : cleanPath(rest);
  const path = clean.length > 1 && clean.startsWith('/') ? clean.slice(1) : clean;
  return [isException ? `!${path}` : path];
}
