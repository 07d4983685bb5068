import { WorkerError } from '../../errors/index.ts';
import { parseLine, saysSomething } from './fields.ts';

const PART = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const NAME = new RegExp(`^(?:[a-z0-9.-]+(?::[0-9]{1,5})?/)?${PART}(?:/${PART})*$`);
/** Registry and repository together. */
const MAX_NAME_LENGTH = 255;

/**
 * Image names in the order written, lower case, without those that are switched off. A line is `name`, `name=…,enable=…`, or a
 * list of names. Throws TAG_RULE_INVALID.
 */
export function parseImages(lines: readonly string[]): readonly string[] {
  return lines.filter(saysSomething).flatMap(parseImageLine);
}

function parseImageLine(line: string): readonly string[] {
  const wrong = (what: string) => new WorkerError('TAG_RULE_INVALID', `image "${line.trim()}": ${what}`);
  const fields = parseLine(line);
  const names: string[] = [];
  let enable = 'true';
  for (const { key, value } of fields) {
    if (key === undefined || key === 'name') names.push(value.toLowerCase());
    else if (key === 'enable') enable = value;
    else throw wrong(`there is no "${key}"`);
  }
  if (enable !== 'true' && enable !== 'false') throw wrong(`enable "${enable}" is neither true nor false`);
  if (names.length === 0) throw wrong('it has no name');
  if (names.length > 1 && fields.some(({ key }) => key !== undefined))
    throw wrong('a list of names takes no attributes');
  for (const name of names) {
    if (!NAME.test(name) || name.length > MAX_NAME_LENGTH)
      throw wrong(`"${name}" is no image name: letters, digits and single . _ - between them, at most 255 characters`);
  }
  return enable === 'true' ? names : [];
}
