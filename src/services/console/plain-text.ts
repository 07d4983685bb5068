/** A picture with the blanks behind it, and the marks that make one of it. */
const PICTURE = /\p{Extended_Pictographic}\u{fe0f}?(?:\u{200d}\p{Extended_Pictographic}\u{fe0f}?)*\s*/gu;

/** A line for terminals and logs that show no pictures: the words alone. */
export function plainText(line: string): string {
  return line.replaceAll(PICTURE, '').replaceAll('•', '-');
}

/** Whether pictures come out right: a UTF-8 locale, and a terminal that is not `dumb`. */
export function showsPictures(env: Readonly<Record<string, string | undefined>>): boolean {
  if (env['NO_EMOJI']) return false;
  if (env['TERM'] === 'dumb') return false;
  const locale = env['LC_ALL'] || env['LC_CTYPE'] || env['LANG'] || '';
  return /utf-?8/i.test(locale);
}
