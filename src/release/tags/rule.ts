import { WorkerError } from '../../errors/index.ts';
import { parseLine } from './fields.ts';

interface Common {
  /** As written. */
  readonly text: string;
  readonly priority: number;
  /** `true`, `false`, or an expression that gives one. */
  readonly enable: string;
  /** undefined: the flavor's. An own one, also an empty one, replaces that. */
  readonly prefix: string | undefined;
  readonly suffix: string | undefined;
}

export type RefEvent = 'branch' | 'tag' | 'pr';

/** A rule of the tag language; docs/tags.md says what each type gives. */
export type Rule = Common &
  (
    | { readonly type: 'schedule'; readonly pattern: string }
    | {
        readonly type: 'semver' | 'pep440';
        readonly pattern: string;
        readonly value: string;
        readonly match: string | undefined;
      }
    | { readonly type: 'match'; readonly pattern: string; readonly group: number; readonly value: string }
    | { readonly type: 'edge'; readonly branch: string }
    | { readonly type: 'ref'; readonly event: RefEvent }
    | { readonly type: 'raw'; readonly value: string }
    | { readonly type: 'sha'; readonly format: 'short' | 'long' }
  );

export type RuleType = Rule['type'];

/** Highest first; equal ones in written order. */
const PRIORITIES: Readonly<Record<RuleType, number>> = {
  schedule: 1000,
  semver: 900,
  pep440: 900,
  match: 800,
  edge: 700,
  ref: 600,
  raw: 200,
  sha: 100,
};

/** What is calculated when nothing is asked for. */
export const DEFAULT_RULES = ['type=schedule', 'type=ref,event=branch', 'type=ref,event=tag', 'type=ref,event=pr'];

/** Reads one line. `text` is what errors and explanations show: the line before its `${{ }}` were filled in. */
export function parseRule(line: string, text: string): Rule {
  const attributes = new Map<string, string>();
  for (const { key, value } of parseLine(line)) attributes.set(key ?? 'value', value);
  const type = attributes.get('type') ?? 'raw';
  if (!Object.hasOwn(PRIORITIES, type)) throw wrong(`there is no type "${type}"`);
  return ruleOf(type as RuleType, attributes, commonOf(type as RuleType, attributes, text));
}

function commonOf(type: RuleType, attributes: ReadonlyMap<string, string>, text: string): Common {
  const priority = attributes.get('priority') ?? String(PRIORITIES[type]);
  if (priority === '' || !Number.isFinite(Number(priority))) throw wrong(`priority "${priority}" is no number`);
  return {
    text,
    priority: Number(priority),
    enable: attributes.get('enable') ?? 'true',
    prefix: attributes.get('prefix'),
    suffix: attributes.get('suffix'),
  };
}

function ruleOf(type: RuleType, attributes: ReadonlyMap<string, string>, common: Common): Rule {
  const given = (name: string) => attributes.get(name) ?? '';
  const needed = (name: string) => {
    const value = given(name);
    if (value === '') throw wrong(`type=${type} needs ${name}=…`);
    return value;
  };
  switch (type) {
    case 'schedule':
      return { ...common, type, pattern: attributes.get('pattern') ?? 'nightly' };
    case 'semver':
    case 'pep440':
      return { ...common, type, pattern: needed('pattern'), value: given('value'), match: attributes.get('match') };
    case 'match': {
      const group = attributes.get('group') ?? '0';
      if (!/^[0-9]+$/.test(group)) throw wrong(`group "${group}" is no number`);
      return { ...common, type, pattern: needed('pattern'), group: Number(group), value: given('value') };
    }
    case 'edge':
      return { ...common, type, branch: given('branch') };
    case 'ref': {
      const event = needed('event');
      if (event !== 'branch' && event !== 'tag' && event !== 'pr')
        throw wrong(`event "${event}" is none of branch, tag, pr`);
      return { ...common, type, event };
    }
    case 'raw':
      return { ...common, type, value: needed('value') };
    case 'sha': {
      const format = attributes.get('format') ?? 'short';
      if (format !== 'short' && format !== 'long') throw wrong(`format "${format}" is neither short nor long`);
      return { ...common, type, format };
    }
  }
}

function wrong(message: string): WorkerError {
  return new WorkerError('TAG_RULE_INVALID', message);
}
