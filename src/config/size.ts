const SIZE = /^(\d+)\s*(?:(k|m|g|t)(i?)b?|b)?$/i;
const POWERS: Readonly<Record<string, number>> = { k: 1, m: 2, g: 3, t: 4 };

/** `256KiB`, `10G`, `4096`: bytes. A trailing `i` counts in 1024s, else 1000s. undefined for anything else. */
export function sizeOf(text: string): number | undefined {
  const match = SIZE.exec(text.trim());
  if (match === null) return undefined;
  const [, digits, unit = '', binary = ''] = match;
  const bytes = Number(digits) * (binary === '' ? 1000 : 1024) ** (POWERS[unit.toLowerCase()] ?? 0);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
