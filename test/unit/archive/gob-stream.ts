/** A gob encoder for tests, from encoding/gob's "Encoding Details"; types are written by hand. */

export function uint(value: bigint | number): Buffer {
  const number = BigInt(value);
  if (number < 128n) return Buffer.from([Number(number)]);
  const hex = number.toString(16);
  const bytes = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
  return Buffer.concat([Buffer.from([256 - bytes.length]), bytes]);
}

export function int(value: bigint | number): Buffer {
  const number = BigInt(value);
  return uint(number >= 0n ? number << 1n : (~number << 1n) | 1n);
}

export function text(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value as string);
  return Buffer.concat([uint(bytes.length), bytes]);
}

const END = Buffer.from([0]);

/** Fields by number; a field that is undefined is left out. */
export function struct(fields: readonly (Buffer | undefined)[]): Buffer {
  let last = -1;
  const parts = fields.flatMap((value, number) => {
    if (value === undefined) return [];
    const delta = uint(number - last);
    last = number;
    return [delta, value];
  });
  return Buffer.concat([...parts, END]);
}

export function list(elements: readonly Buffer[]): Buffer {
  return Buffer.concat([uint(elements.length), ...elements]);
}

export function message(...parts: readonly Buffer[]): Buffer {
  const payload = Buffer.concat(parts);
  return Buffer.concat([uint(payload.length), payload]);
}

const common = (name: string, id: number): Buffer => struct([name === '' ? undefined : text(name), int(id)]);

export function defineStruct(id: number, fields: Readonly<Record<string, number>>): Buffer {
  const described = Object.entries(fields).map(([name, type]) => struct([text(name), int(type)]));
  return message(int(-id), struct([undefined, undefined, struct([common('T', id), list(described)])]));
}

export function defineSlice(id: number, element: number): Buffer {
  return message(int(-id), struct([undefined, struct([common('', id), int(element)])]));
}

export function defineMap(id: number, key: number, element: number): Buffer {
  return message(int(-id), struct([undefined, undefined, undefined, struct([common('', id), int(key), int(element)])]));
}

/** Ids of the basic types. */
export const BOOL = 1;
export const INT = 2;
export const UINT = 3;
export const STRING = 6;
