import moment from 'moment-timezone';
import { WorkerError } from '../../errors/index.ts';
import type { TagContext } from './context.ts';
import type { Arguments, Names } from './template.ts';

/** Events that belong to the default branch whatever their ref says. */
const DEFAULT_BRANCH_EVENTS = new Set(['create', 'discussion', 'issues', 'schedule']);

export interface NameOptions {
  readonly shortShaLength: number;
}

/** What values, prefixes, suffixes, `enable` and labels may name. */
export function globalNames(context: TagContext, { shortShaLength }: NameOptions): Names {
  const { baseRef, pullRequest, ref, sha } = context;
  const isDefault = String(isDefaultBranch(context));
  return {
    branch: after(ref, 'refs/heads/'),
    tag: after(ref, 'refs/tags/'),
    sha: shortSha(sha, shortShaLength),
    base_ref: ref.startsWith('refs/tags/') ? baseRef : ref.startsWith('refs/pull/') ? (pullRequest?.base ?? '') : '',
    is_default_branch: isDefault,
    is_not_default_branch: String(isDefault !== 'true'),
    ...dateNames(context),
  };
}

/** What the pattern of a schedule may name. */
export function dateNames({ clock, commitDate }: TagContext): Names {
  return {
    date: (given) => formatDate('date', clock, given),
    commit_date: (given) => formatDate('commit_date', commitDate ?? clock, given),
  };
}

export function shortSha(sha: string, length: number): string {
  return sha.slice(0, length);
}

export function isDefaultBranch({ defaultBranch, event, ref }: TagContext): boolean {
  if (DEFAULT_BRANCH_EVENTS.has(event)) return true;
  return defaultBranch !== '' && ref === `refs/heads/${defaultBranch}`;
}

function after(ref: string, prefix: string): string {
  return ref.startsWith(prefix) ? ref.slice(prefix.length) : '';
}

/** The formats are those of moment, which the rule language is defined by. No format: ISO 8601 with seconds. */
function formatDate(name: string, date: Date, { options, texts }: Arguments): string {
  const { tz = 'UTC', ...others } = Object.fromEntries(options);
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw wrong(`${name}: there is no argument "${unknown}"`);
  if (texts.length > 1) throw wrong(`${name}: more than one format`);
  if (moment.tz.zone(tz) === null) throw wrong(`${name}: there is no time zone "${tz}"`);
  const [format] = texts;
  const local = moment(date).tz(tz);
  return format === undefined ? local.format() : local.format(format);
}

function wrong(message: string): WorkerError {
  return new WorkerError('TAG_RULE_INVALID', message);
}
