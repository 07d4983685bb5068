import { WorkerError } from '../../errors/index.ts';

/** What stands behind a name: `date 'YYYY' tz='UTC'` has one text and one option. */
export interface Arguments {
  readonly texts: readonly string[];
  readonly options: ReadonlyMap<string, string>;
}

/** What each name gives; a name that is not here is an error. */
export type Names = Readonly<Record<string, string | ((given: Arguments) => string)>>;

const EXPRESSION = /\{\{\s*((?:'[^']*'|"[^"]*"|[^'"}]|\}(?!\}))*?)\s*\}\}/g;
const WORD = /\s*(?:([A-Za-z_][A-Za-z0-9_]*)\s*=\s*)?(?:'([^']*)'|"([^"]*)"|([^\s'"=]+))/y;

/** Fills in `{{ name }}`. Nothing is escaped. Throws TAG_RULE_INVALID for a name that is not there or arguments it does not take. */
export function expand(template: string, names: Names): string {
  if (template.replaceAll(EXPRESSION, '').includes('{{')) throw wrong(`${template}: an expression is not closed`);
  return template.replaceAll(EXPRESSION, (whole, inner: string) => {
    const [name, given] = parseExpression(inner, whole);
    const value = Object.hasOwn(names, name) ? names[name] : undefined;
    if (value === undefined)
      throw wrong(`${whole}: there is no "${name}" here, but ${Object.keys(names).toSorted().join(', ')}`);
    if (typeof value === 'function') return value(given);
    if (given.texts.length > 0 || given.options.size > 0) throw wrong(`${whole}: ${name} takes no arguments`);
    return value;
  });
}

/** True for exactly `{{raw}}`: the one pattern that prereleases follow. */
export function isRaw(pattern: string): boolean {
  return /^\{\{\s*raw\s*\}\}$/.test(pattern);
}

function parseExpression(inner: string, whole: string): readonly [string, Arguments] {
  const name = /^[A-Za-z_][A-Za-z0-9_]*/.exec(inner)?.[0] ?? '';
  const texts: string[] = [];
  const options = new Map<string, string>();
  WORD.lastIndex = name.length;
  while (WORD.lastIndex < inner.length) {
    const word = WORD.exec(inner);
    if (word === null) throw wrong(`${whole}: cannot be read`);
    const [, key, single, double, bare] = word;
    const value = single ?? double ?? bare ?? '';
    if (key === undefined) texts.push(value);
    else options.set(key, value);
  }
  return [name, { texts, options }];
}

function wrong(message: string): WorkerError {
  return new WorkerError('TAG_RULE_INVALID', message);
}
