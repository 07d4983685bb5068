import { corrupt } from './failure.ts';

/** Seconds from 0001-01-01 to 1970-01-01. */
const ZERO_TO_UNIX = 62_135_596_800n;
// What Date can show (ECMA-262, "Time Values and Time Range").
const MAX_SECONDS = 8_640_000_000_000n;

/**
 * Go's binary form of a time (time.Time.MarshalBinary): version, seconds since the year 1 and nanoseconds big-endian,
 * zone. The result is RFC 3339 in UTC with as many decimals as needed; undefined for Go's zero time.
 */
export function parseGoTime(bytes: Buffer): string | undefined {
  const version = bytes[0];
  if ((version !== 1 || bytes.length !== 15) && (version !== 2 || bytes.length !== 16))
    throw corrupt(`a time of ${bytes.length} bytes, version ${version ?? 0}`);
  const seconds = bytes.readBigInt64BE(1) - ZERO_TO_UNIX;
  const nanos = bytes.readUInt32BE(9);
  if (seconds === -ZERO_TO_UNIX && nanos === 0) return undefined;
  if (nanos > 999_999_999 || seconds > MAX_SECONDS || seconds < -MAX_SECONDS) throw corrupt('a time is out of range');
  const decimals = nanos === 0 ? '' : `.${String(nanos).padStart(9, '0').replace(/0+$/, '')}`;
  return new Date(Number(seconds) * 1000).toISOString().replace('.000Z', `${decimals}Z`);
}
