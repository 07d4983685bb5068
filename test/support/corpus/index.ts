export {
  baseLayer,
  CHUNK_BYTES,
  changeLayer,
  overlayLayer,
  replaceLayer,
  sparseGnuLayer,
  sparsePaxLayer,
} from './awkward-layers.ts';
export { content } from './content.ts';
export { damaged, type GeneratedLayer, type GeneratedStack, generatedStack } from './generated-stack.ts';
export { gnuTarLayer } from './gnu-tar-layer.ts';
export { type Layout, type LayoutCodec, type LayoutLayer, type Stored, sha256, writeLayout } from './layout.ts';
export { randomAttributeLayers, wideLayer } from './random-attributes.ts';
export { randomLayers } from './random-layers.ts';
export { type SparseFile, sparse00, sparse01, sparse10, sparseOldGnu } from './sparse.ts';
export { paxEntry, type TarEntry, tarEntry, tarStream } from './tar-entry.ts';
