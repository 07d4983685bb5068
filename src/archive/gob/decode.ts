import { corrupt } from '../failure.ts';
import { GobReader } from './reader.ts';
import { gobInt, gobLatin1, gobOptional, gobSlice, gobStruct, type Shape } from './shapes.ts';
import { builtInTypes, type GobType, typeOf, WIRE_TYPE } from './types.ts';

const wireTypeShape = gobStruct({
  array: ['ArrayT', gobOptional(gobStruct({ element: ['Elem', gobInt] }))],
  slice: ['SliceT', gobOptional(gobStruct({ element: ['Elem', gobInt] }))],
  struct: [
    'StructT',
    gobOptional(
      gobStruct({ fields: ['Field', gobSlice(gobStruct({ name: ['Name', gobLatin1], type: ['Id', gobInt] }))] }),
    ),
  ],
  map: ['MapT', gobOptional(gobStruct({ key: ['Key', gobInt], element: ['Elem', gobInt] }))],
  gob: ['GobEncoderT', gobOptional(gobStruct({}))],
  binary: ['BinaryMarshalerT', gobOptional(gobStruct({}))],
  text: ['TextMarshalerT', gobOptional(gobStruct({}))],
});

/**
 * The first value of a gob stream (encoding/gob). Types are taken from their definitions in the stream and fields by
 * name, never by number; what the shape does not know is passed over, what the stream leaves out is zero. Bytes behind
 * the value are ignored, as Go's decoder does. Throws ARCHIVE_CORRUPT.
 */
export function decodeGob<T>(bytes: Buffer, shape: Shape<T>): T {
  const types = builtInTypes();
  const readDefinition = wireTypeShape.bind(types, WIRE_TYPE);
  const stream = new GobReader(bytes);
  for (;;) {
    const message = stream.part(stream.uint());
    const id = message.int();
    if (id < 0) {
      if (types.has(-id)) throw corrupt(`gob type ${-id} is defined twice`);
      types.set(-id, definedType(readDefinition(message)));
      if (message.remaining > 0) throw corrupt(`${message.remaining} bytes behind a gob type definition`);
      continue;
    }
    // A value that is no struct stands behind a zero byte.
    if (typeOf(types, id).kind !== 'struct' && message.uint() !== 0)
      throw corrupt('a gob value does not start with zero');
    const value = shape.bind(types, id)(message);
    if (message.remaining > 0) throw corrupt(`${message.remaining} bytes behind a gob value`);
    return value;
  }
}

function definedType({ array, slice, struct, map, gob, binary, text }: ReturnType<typeof wireTypeShape.zero>): GobType {
  if (array !== undefined) return { kind: 'array', element: array.element };
  if (slice !== undefined) return { kind: 'slice', element: slice.element };
  if (struct !== undefined) return { kind: 'struct', fields: struct.fields };
  if (map !== undefined) return { kind: 'map', key: map.key, element: map.element };
  if (gob !== undefined || binary !== undefined || text !== undefined) return { kind: 'opaque' };
  throw corrupt('a gob type definition is empty');
}
