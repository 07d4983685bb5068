import { corrupt } from '../failure.ts';
import type { GobReader } from './reader.ts';
import { fieldOf, type GobType, type GobTypes, skipValue, typeOf } from './types.ts';

/**
 * What a caller wants to get out of a stream. `bind` joins it once with the type the stream defines, by field name,
 * and gives the function that reads one value; a field that the stream leaves out has its `zero`.
 */
export interface Shape<T> {
  readonly zero: () => T;
  readonly bind: (types: GobTypes, id: number) => (reader: GobReader) => T;
}

type Basic = Extract<GobType['kind'], 'bool' | 'int' | 'uint' | 'bytes' | 'string' | 'opaque'>;

function basic<T>(kind: Basic, zero: () => T, read: (reader: GobReader) => T): Shape<T> {
  return {
    zero,
    bind(types, id) {
      const actual = typeOf(types, id).kind;
      if (actual !== kind) throw corrupt(`gob type ${actual} where ${kind} should be`);
      return read;
    },
  };
}

export const gobInt = basic(
  'int',
  () => 0,
  (reader) => reader.int(),
);
export const gobUint = basic(
  'uint',
  () => 0,
  (reader) => reader.uint(),
);
export const gobUint64 = basic(
  'uint',
  () => 0n,
  (reader) => reader.uint64(),
);
export const gobUint32 = basic(
  'uint',
  () => 0,
  (reader) => {
    const value = reader.uint();
    if (value > 0xffff_ffff) throw corrupt(`number ${value} is out of range`);
    return value;
  },
);
/** Two's complement in an unsigned field. */
export const gobWrapped = basic(
  'uint',
  () => 0,
  (reader) => reader.wrapped(),
);
export const gobBool = basic(
  'bool',
  () => false,
  (reader) => reader.uint() !== 0,
);
export const gobBytes = basic(
  'bytes',
  () => Buffer.alloc(0),
  (reader) => reader.bytes(),
);
/** A string as bytes, one character each: gob does not promise UTF-8. */
export const gobLatin1 = basic(
  'string',
  () => '',
  (reader) => reader.latin1(),
);
export const gobText = basic(
  'string',
  () => '',
  (reader) => reader.bytes().toString('utf8'),
);
/** The bytes of a type that writes itself, such as time.Time. */
export const gobOpaque = basic<Buffer | undefined>(
  'opaque',
  () => undefined,
  (reader) => reader.bytes(),
);

type Fields = Readonly<Record<string, readonly [name: string, shape: Shape<unknown>]>>;
type StructOf<F extends Fields> = { -readonly [K in keyof F]: F[K][1] extends Shape<infer T> ? T : never };

/** A struct; each key names its field in Go. Fields of the stream that are not named are passed over. */
export function gobStruct<F extends Fields>(fields: F): Shape<StructOf<F>> {
  const entries = Object.entries(fields);
  // Zeros are never changed, so all values share them; a copy of one object is the fastest way to a new one.
  const template = Object.fromEntries(entries.map(([key, [, shape]]) => [key, shape.zero()]));
  const zero = (): Record<string, unknown> => ({ ...template });
  return {
    zero: zero as () => StructOf<F>,
    bind(types, id) {
      const type = typeOf(types, id);
      if (type.kind !== 'struct') throw corrupt(`gob type ${type.kind} where a struct should be`);
      const steps = type.fields.map((field) => {
        const wanted = entries.find(([, [name]]) => name === field.name);
        if (wanted === undefined)
          return {
            read: (reader: GobReader) => {
              skipValue(reader, types, field.type);
            },
          };
        return { key: wanted[0], read: wanted[1][1].bind(types, field.type) };
      });
      return (reader) => {
        const value = zero();
        for (let number = -1, delta = reader.uint(); delta !== 0; delta = reader.uint()) {
          number += delta;
          const { key, read } = fieldOf(steps, number);
          if (key === undefined) read(reader);
          else value[key] = read(reader);
        }
        return value as StructOf<F>;
      };
    },
  };
}

/** A pointer: absent when the stream leaves it out. */
export function gobOptional<T>(shape: Shape<T>): Shape<T | undefined> {
  return { zero: () => undefined, bind: (types, id) => shape.bind(types, id) };
}

export function gobSlice<T>(shape: Shape<T>): Shape<T[]> {
  return {
    zero: () => [],
    bind(types, id) {
      const type = typeOf(types, id);
      if (type.kind !== 'slice' && type.kind !== 'array')
        throw corrupt(`gob type ${type.kind} where a slice should be`);
      const read = shape.bind(types, type.element);
      return (reader) => {
        const values: T[] = [];
        for (let left = reader.count(); left > 0; left -= 1) values.push(read(reader));
        return values;
      };
    },
  };
}

export function gobMap<T>(shape: Shape<T>): Shape<Map<string, T>> {
  return {
    zero: () => new Map(),
    bind(types, id) {
      const type = typeOf(types, id);
      if (type.kind !== 'map') throw corrupt(`gob type ${type.kind} where a map should be`);
      const key = gobText.bind(types, type.key);
      const read = shape.bind(types, type.element);
      return (reader) => {
        const values = new Map<string, T>();
        for (let left = reader.count(); left > 0; left -= 1) values.set(key(reader), read(reader));
        return values;
      };
    },
  };
}
