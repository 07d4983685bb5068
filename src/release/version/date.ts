/** With or without a time behind. */
const DATE = /^(\d{4})([.-]?)(\d{1,2})\2(\d{1,2})(?:[-T.]\d{2,6})?$/;

/** Whether the text is a calendar date, `2029.1.9`, `2029-01-09`, `20290109`: read as a version it would win for ever. */
export function isDate(text: string): boolean {
  const bare = text.replace(/^v/, '').replace(/\+.*$/, '');
  const [, year = '', separator = '', month = '', day = ''] = DATE.exec(bare) ?? [];
  if (separator === '' && month.length + day.length !== 4) return false;
  const [y, m, d] = [Number(year), Number(month), Number(day)];
  return y >= 1970 && y < 3000 && m >= 1 && m <= 12 && d >= 1 && d <= 31;
}
