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
export { gnuTarLayer } from './gnu-tar-layer.ts';
export { type Layout, type LayoutCodec, type LayoutLayer, sha256, writeLayout } from './layout.ts';
export { randomLayers } from './random-layers.ts';
export { paxEntry, type TarEntry, tarEntry, tarStream } from './tar-entry.ts';
