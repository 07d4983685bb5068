import type { Time } from '../entry.ts';
import { corrupt } from '../failure.ts';

const I64_MAX = 2n ** 63n - 1n;
const I64_MIN = -(2n ** 63n);
const NANOS = 1_000_000_000;

/** A number field of a header: octal between spaces and NULs, or base-256 when its first bit is set. */
export function headerNumber(field: Buffer): bigint {
  return ((field[0] ?? 0) & 0x80) === 0 ? octal(field) : base256(field);
}

export function octal(field: Buffer): bigint {
  const [digits = ''] = field
    .toString('latin1')
    .replace(/^[ \0]+|[ \0]+$/g, '')
    .split('\0', 1);
  if (!/^[0-7]*$/.test(digits)) throw corrupt('a number has other characters than octal digits');
  return digits === '' ? 0n : BigInt(`0o${digits}`);
}

/** Two's complement, big-endian, without the first bit. */
function base256(field: Buffer): bigint {
  const negative = ((field[0] ?? 0) & 0x40) !== 0;
  const magnitude = Buffer.from(field.map((byte, at) => (negative ? ~byte : byte) & (at === 0 ? 0x7f : 0xff)));
  const value = BigInt(`0x${magnitude.toString('hex')}`);
  if (value > I64_MAX) throw corrupt('a number does not fit into 64 bits');
  return negative ? ~value : value;
}

/** A decimal number of 64 bits with an optional sign; undefined for anything else. */
export function decimal(text: string): bigint | undefined {
  const [, sign, digits] = /^([+-]?)0*([0-9]*)$/.exec(text) ?? [];
  // longer ones cannot fit and would take long to convert
  if (digits === undefined || digits.length > 19 || !/[0-9]$/.test(text)) return undefined;
  const value = BigInt(`${sign === '-' ? '-' : ''}${digits === '' ? '0' : digits}`);
  return value > I64_MAX || value < I64_MIN ? undefined : value;
}

/** Seconds with an optional fraction, maybe negative; digits beyond nanoseconds are cut off. */
export function decimalTime(text: string): Time | undefined {
  const [, whole, fraction = ''] = /^([^.]*)(?:\.([0-9]*))?$/s.exec(text) ?? [];
  const seconds = whole === undefined ? undefined : decimal(whole);
  if (seconds === undefined || whole === undefined) return undefined;
  const nanos = Number(fraction.slice(0, 9).padEnd(9, '0'));
  if (!whole.startsWith('-') || nanos === 0) return { seconds, nanos };
  return seconds === I64_MIN ? undefined : { seconds: seconds - 1n, nanos: NANOS - nanos };
}
