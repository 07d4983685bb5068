/** Options of a command line, each with its value where it has one; of one that comes twice the last. */
function optionsOf(words: readonly string[]): ReadonlyMap<string, string> {
  const options = new Map<string, string>();
  let name: string | undefined;
  for (const word of words)
    if (word.startsWith('--')) {
      name = word;
      options.set(word, '');
    } else if (name !== undefined) options.set(name, word);
  return options;
}

/**
 * The options in `wanted` that a daemon does not have, which says what it has: `--page-cache single`. One of a version that
 * tells no options misses none.
 */
export function missingOptions(wanted: readonly string[], has: readonly string[]): readonly string[] {
  if (has.length === 0) return [];
  const daemon = optionsOf(has);
  return [...optionsOf(wanted)]
    .filter(([name, value]) => daemon.get(name) !== value)
    .map(([name, value]) => `${name} ${value}`.trimEnd());
}
