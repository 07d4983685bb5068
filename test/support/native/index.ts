export { addBlobs } from './add-blobs.ts';
export { awkwardTars, layoutOf, type MadeArchive, type MakeOptions, makeArchive } from './awkward-archive.ts';
export {
  type AssembledArchive,
  type AssembleOptions,
  assemble,
  imageOf,
  indexTool,
  type PackedLayer,
  type PackOptions,
  packLayers,
  unpackErofs,
  verifyArchive,
} from './index-tool.ts';
