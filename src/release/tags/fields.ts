import { parse } from 'csv-parse/sync';
import { WorkerError } from '../../errors/index.ts';

/** One field of a line: `key=value`, or a value alone. */
export interface Field {
  /** Lower case; undefined for a value alone. */
  readonly key: string | undefined;
  readonly value: string;
}

/**
 * A line of rules, images or flavors: a CSV record whose fields are `key=value`. Only the first `=` splits, so that values may
 * hold one. Throws TAG_RULE_INVALID.
 */
export function parseLine(line: string): readonly Field[] {
  return splitRecord(line).map((field) => {
    const equals = field.indexOf('=');
    if (equals <= 0) return { key: undefined, value: field.trim() };
    return { key: field.slice(0, equals).trim().toLowerCase(), value: field.slice(equals + 1).trim() };
  });
}

/** Empty lines and comments say nothing. */
export function saysSomething(line: string): boolean {
  const trimmed = line.trim();
  return trimmed !== '' && !trimmed.startsWith('#');
}

function splitRecord(line: string): readonly string[] {
  try {
    const records: string[][] = parse(line, { relax_quotes: true, relax_column_count: true, ltrim: true });
    return (records[0] ?? []).filter((field) => field.trim() !== '');
  } catch (cause) {
    throw new WorkerError('TAG_RULE_INVALID', 'a quote is not closed, or text follows one', {}, { cause });
  }
}
