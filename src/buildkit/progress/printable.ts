import { stripVTControlCharacters } from 'node:util';

/** A step's text on a terminal of ours: without escape sequences and control characters that could redraw or fake it. */
export function printable(text: string): string {
  return (
    stripVTControlCharacters(text)
      .replaceAll('\t', '    ')
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must go
      .replace(/[\0-\x1f\x7f-\x9f]/g, '')
  );
}
