import { corrupt } from '../failure.ts';
import type { GobReader } from './reader.ts';

/** A type as a stream defines it; ids are valid inside that stream only. */
export type GobType =
  | { readonly kind: 'bool' | 'int' | 'uint' | 'float' | 'bytes' | 'string' | 'complex' | 'interface' | 'opaque' }
  | { readonly kind: 'slice' | 'array'; readonly element: number }
  | { readonly kind: 'map'; readonly key: number; readonly element: number }
  | { readonly kind: 'struct'; readonly fields: readonly GobField[] };

export interface GobField {
  readonly name: string;
  readonly type: number;
}

export type GobTypes = Map<number, GobType>;

const INT = 2;
const STRING = 6;
/** Id of `wireType`, the struct in which definitions are written; it and what it is made of are known beforehand. */
export const WIRE_TYPE = 16;

const struct = (fields: Readonly<Record<string, number>>): GobType => ({
  kind: 'struct',
  fields: Object.entries(fields).map(([name, type]) => ({ name, type })),
});

/** The types that every stream starts with (encoding/gob, type.go: basic and wire types). */
export function builtInTypes(): GobTypes {
  const basic = ['bool', 'int', 'uint', 'float', 'bytes', 'string', 'complex', 'interface'] as const;
  const types: GobTypes = new Map(basic.map((kind, at) => [at + 1, { kind }]));
  types.set(
    WIRE_TYPE,
    struct({
      ArrayT: 17,
      SliceT: 19,
      StructT: 20,
      MapT: 23,
      GobEncoderT: 24,
      BinaryMarshalerT: 24,
      TextMarshalerT: 24,
    }),
  );
  types.set(17, struct({ CommonType: 18, Elem: INT, Len: INT }));
  types.set(18, struct({ Name: STRING, Id: INT }));
  types.set(19, struct({ CommonType: 18, Elem: INT }));
  types.set(20, struct({ CommonType: 18, Field: 22 }));
  types.set(21, struct({ Name: STRING, Id: INT }));
  types.set(22, { kind: 'slice', element: 21 });
  types.set(23, struct({ CommonType: 18, Key: INT, Elem: INT }));
  types.set(24, struct({ CommonType: 18 }));
  return types;
}

export function typeOf(types: GobTypes, id: number): GobType {
  const type = types.get(id);
  if (type === undefined) throw corrupt(`gob type ${id} is used and not defined`);
  return type;
}

// Real data nests about five deep; a type may contain itself, so the stack needs a bound.
const MAX_DEPTH = 64;

/** Passes a value of a type nobody asked for. */
export function skipValue(reader: GobReader, types: GobTypes, id: number, depth = 0): void {
  if (depth > MAX_DEPTH) throw corrupt(`gob values nested more than ${MAX_DEPTH} deep`);
  const type = typeOf(types, id);
  switch (type.kind) {
    case 'bool':
    case 'int':
    case 'uint':
    case 'float':
      reader.uint64();
      return;
    case 'complex':
      reader.uint64();
      reader.uint64();
      return;
    case 'bytes':
    case 'string':
    case 'opaque':
      reader.bytes();
      return;
    case 'interface':
      // The name of the concrete type, empty for nil; then its id and a counted value.
      if (reader.bytes().length === 0) return;
      reader.int();
      reader.bytes();
      return;
    case 'slice':
    case 'array':
      for (let left = reader.count(); left > 0; left -= 1) skipValue(reader, types, type.element, depth + 1);
      return;
    case 'map':
      for (let left = reader.count(); left > 0; left -= 1) {
        skipValue(reader, types, type.key, depth + 1);
        skipValue(reader, types, type.element, depth + 1);
      }
      return;
    case 'struct':
      for (let field = -1, delta = reader.uint(); delta !== 0; delta = reader.uint()) {
        field += delta;
        skipValue(reader, types, fieldOf(type.fields, field).type, depth + 1);
      }
  }
}

export function fieldOf<T>(fields: readonly T[], number: number): T {
  const field = fields[number];
  if (field === undefined) throw corrupt(`gob struct has no field ${number}`);
  return field;
}
