import { WorkerError } from '../../errors/index.ts';
import type { TagContext } from './context.ts';
import { dateNames, shortSha } from './names.ts';
import type { RefEvent, Rule } from './rule.ts';
import { expand, isRaw, type Names } from './template.ts';
import { readPep440, readSemver } from './versions.ts';

/** What a rule gives before prefix and suffix; or why it gives nothing. */
export type Candidate =
  | { readonly value: string; readonly latest: boolean; readonly ownPrefix?: string }
  | { readonly none: string; readonly warn?: true };

export interface CandidateInput {
  readonly context: TagContext;
  readonly names: Names;
  readonly shortShaLength: number;
}

/** Applies one rule. Throws TAG_RULE_INVALID for what is wrong with the rule, whatever the event. */
export function candidateOf(rule: Rule, input: CandidateInput): Candidate {
  const { context } = input;
  switch (rule.type) {
    case 'schedule':
      if (context.event !== 'schedule') return { none: `the event is ${quoted(context.event)}, not schedule` };
      return { value: expand(rule.pattern, dateNames(context)), latest: false };
    case 'semver':
    case 'pep440':
      return versionCandidate(rule, input);
    case 'match':
      return matchCandidate(rule, input);
    case 'edge': {
      const branch = rule.branch === '' ? context.defaultBranch : rule.branch;
      if (branch === '') return { none: 'no branch is named and the default branch is unknown' };
      if (context.ref !== `refs/heads/${branch}`) return { none: `the ref is not the branch ${branch}` };
      return { value: 'edge', latest: false };
    }
    case 'ref':
      return refCandidate(rule.event, context.ref);
    case 'raw':
      return { value: expand(rule.value, input.names), latest: false };
    case 'sha': {
      if (context.sha === '') return { none: 'there is no commit' };
      const value = rule.format === 'long' ? context.sha : shortSha(context.sha, input.shortShaLength);
      return { value, latest: false, ownPrefix: 'sha-' };
    }
  }
}

const REFS: Readonly<Record<RefEvent, readonly [prefix: string, what: string]>> = {
  branch: ['refs/heads/', 'branch'],
  tag: ['refs/tags/', 'git tag'],
  pr: ['refs/pull/', 'pull request'],
};

function refCandidate(event: RefEvent, ref: string): Candidate {
  const [prefix, what] = REFS[event];
  if (!ref.startsWith(prefix)) return { none: `the ref is no ${what}` };
  const name = ref.slice(prefix.length);
  if (event === 'pr') return { value: name.replace(/\/.*$/, ''), latest: false, ownPrefix: 'pr-' };
  return { value: name, latest: event === 'tag' };
}

function versionCandidate(
  { match, pattern, type, value }: Extract<Rule, { type: 'semver' | 'pep440' }>,
  { context, names }: CandidateInput,
): Candidate {
  const source = sourceOf(value, context, names);
  if (source === undefined) return { none: 'the ref is no git tag and no value is given' };
  const matched = match === undefined ? source : firstGroup(match, source);
  const text = (matched ?? source).replaceAll('/', '-');
  const version = type === 'semver' ? readSemver(text) : readPep440(text);
  if (version === undefined) {
    const unmatched = matched === undefined ? ` (match ${match ?? ''} does not apply)` : '';
    return {
      none: `${quoted(text)} is no ${type === 'semver' ? 'semantic' : 'Python'} version${unmatched}`,
      warn: true,
    };
  }
  // Expanded in any case: what is wrong with a pattern shows with the first version, not with the first release.
  const expanded = expand(pattern, version.names);
  if (version.released) return { value: expanded, latest: true };
  return { value: isRaw(pattern) ? version.names.raw : version.names.version, latest: false };
}

function matchCandidate(
  { group, pattern, value }: Extract<Rule, { type: 'match' }>,
  { context, names }: CandidateInput,
): Candidate {
  const source = sourceOf(value, context, names);
  const expression = regularExpression(pattern);
  if (source === undefined) return { none: 'the ref is no git tag and no value is given' };
  const found = expression.exec(source);
  if (found === null) return { none: `${pattern} does not match ${quoted(source)}`, warn: true };
  const text = found[group];
  if (text === undefined) return { none: `${pattern} has no group ${group}`, warn: true };
  return { value: text, latest: true };
}

/** The value of a rule, else the git tag. */
function sourceOf(value: string, { ref }: TagContext, names: Names): string | undefined {
  if (value !== '') return expand(value, names);
  return ref.startsWith('refs/tags/') ? ref.slice('refs/tags/'.length) : undefined;
}

/** The first group, or all that matches where the expression has none. */
function firstGroup(pattern: string, text: string): string | undefined {
  const found = regularExpression(pattern).exec(text);
  return found === null ? undefined : (found[1] ?? found[0]);
}

/** Plain, or `/body/flags`. */
function regularExpression(pattern: string): RegExp {
  const [, body, flags] = /^\/(.+)\/([a-z]*)$/s.exec(pattern) ?? [];
  try {
    return new RegExp(body ?? pattern, (flags ?? '').replace('g', ''));
  } catch (cause) {
    throw new WorkerError('TAG_RULE_INVALID', `${pattern} is no regular expression`, {}, { cause });
  }
}

function quoted(text: string): string {
  return text === '' ? 'unknown' : `"${text}"`;
}
