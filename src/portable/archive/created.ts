const RFC_3339 =
  /^([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))$/;
/** Seconds from 0001-01-01 to 1970-01-01. */
const ZERO_TO_UNIX = 62_135_596_800;
const VERSION = 1;
const UTC = -1;

/** An RFC 3339 time as Go's `time.Time.MarshalBinary` writes it; undefined for any other text. */
export function goTimeOf(text: string): Buffer | undefined {
  const match = RFC_3339.exec(text);
  if (match === null) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const [fraction = '', sign, zoneHours = '0', zoneMinutes = '0'] = match.slice(7);
  const [hoursEast, minutesEast] = [Number(zoneHours), Number(zoneMinutes)];
  if (month < 1 || month > 12 || day < 1 || day > 31) return undefined;
  if (hour > 23 || minute > 59 || second > 59 || hoursEast > 23 || minutesEast > 59) return undefined;
  const zone = (sign === '-' ? -1 : 1) * (hoursEast * 60 + minutesEast);
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day); // Date.UTC would take the years 0 to 99 for others
  const seconds = date.getTime() / 1000 + hour * 3600 + minute * 60 + second - zone * 60;
  const out = Buffer.alloc(15);
  out[0] = VERSION;
  out.writeBigInt64BE(BigInt(seconds + ZERO_TO_UNIX), 1);
  out.writeUInt32BE(Number(fraction.slice(0, 9).padEnd(9, '0')), 9);
  out.writeInt16BE(zone === 0 ? UTC : zone, 13);
  return out;
}
