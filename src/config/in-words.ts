import type { z } from 'zod';

/** Kinds of value as somebody calls them who writes YAML or JSON. */
const NEEDED: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'names with values (name: value)',
  record: 'names with values (name: value)',
};

const MAX_SHOWN = 40;

/**
 * What is wrong with a document that a person wrote, without the words of a programming language: for `schema.safeParse(value, { error:
 * inWords })`. A message of the schema's own goes before it; what is not here keeps zod's.
 */
export const inWords: z.core.$ZodErrorMap = (issue) => {
  switch (issue.code) {
    case 'invalid_type': {
      if (issue.input === undefined) return 'it is missing';
      const needed = NEEDED[issue.expected];
      if (needed === undefined) return undefined;
      const isBare = issue.expected === 'string' && ['boolean', 'number'].includes(typeof issue.input);
      return `it takes ${needed}, not ${kindOf(issue.input)}${isBare ? ': write it in quotes' : ''}`;
    }
    case 'unrecognized_keys':
      return `there is no ${issue.keys.map((key) => JSON.stringify(key)).join(', ')} here`;
    case 'invalid_value':
      if (issue.input === undefined) return 'it is missing';
      return `it is one of ${issue.values.map(String).join(', ')}, not ${kindOf(issue.input)}`;
    case 'invalid_key':
      return issue.issues[0]?.message;
    case 'too_small':
      return issue.origin === 'string' ? 'it is empty' : `at least ${issue.minimum} ${verbOf(issue)} needed`;
    case 'too_big':
      return `at most ${issue.maximum} ${verbOf(issue)} allowed`;
    case 'invalid_union':
      return ofAlternatives(issue);
    default:
      return undefined;
  }
};

function kindOf(input: unknown): string {
  if (input === undefined || input === null) return 'nothing';
  if (Array.isArray(input)) return 'a list';
  if (typeof input === 'object') return 'names with values';
  if (typeof input === 'string') return `the text ${JSON.stringify(shortened(input))}`;
  return typeof input === 'number' ? String(input) : JSON.stringify(input);
}

/** A whole file may be one text: enough to find it again. */
function shortened(text: string): string {
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}

function verbOf({ maximum, minimum }: { readonly minimum?: unknown; readonly maximum?: unknown }): string {
  return Number(minimum ?? maximum) === 1 ? 'is' : 'are';
}

/** Of what one alternative says about the value itself; an alternative of another kind says nothing. */
function ofAlternatives({ errors, input }: z.core.$ZodRawIssue<z.core.$ZodIssueInvalidUnion>): string {
  if (input === undefined) return 'it is missing';
  const said = errors.flat().find(({ code }) => code !== 'invalid_type');
  return said?.message ?? `${kindOf(input)} cannot stand here`;
}
