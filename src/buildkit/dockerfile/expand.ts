/**
 * A word with its variables replaced, as a Dockerfile's FROM takes them: `$NAME`, `${NAME}`, `${NAME:-word}`, `${NAME:+word}`.
 * undefined when it holds another form, or a name whose value is not known here.
 */
export function expand(word: string, values: ReadonlyMap<string, string>): string | undefined {
  const parts: string[] = [];
  let end = 0;
  for (const match of word.matchAll(VARIABLE)) {
    const value = replacementOf(match, values);
    if (value === undefined) return undefined;
    parts.push(word.slice(end, match.index), value);
    end = match.index + match[0].length;
  }
  const text = [...parts, word.slice(end)].join('');
  return /[$\\]/.test(text) ? undefined : text;
}

const VARIABLE = /\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?:(:?[-+])([^{}$]*))?\})/g;

function replacementOf(
  [, plain, braced, operator = '', other = '']: RegExpMatchArray,
  values: ReadonlyMap<string, string>,
): string | undefined {
  const value = values.get(plain ?? braced ?? '');
  const isSet = value !== undefined && (value !== '' || !operator.startsWith(':'));
  if (operator.endsWith('-')) return isSet ? value : other;
  if (operator.endsWith('+')) return isSet ? other : '';
  return value;
}
