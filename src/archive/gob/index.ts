export { decodeGob } from './decode.ts';
export {
  gobBool,
  gobBytes,
  gobInt,
  gobLatin1,
  gobMap,
  gobOpaque,
  gobOptional,
  gobSlice,
  gobStruct,
  gobText,
  gobUint,
  gobUint32,
  gobUint64,
  gobWrapped,
  type Shape,
} from './shapes.ts';
