export { type PortableArchive, type WrittenArchive, writePortableArchive } from './assemble.ts';
export { type IndexedLayer, type IndexLayerOptions, indexLayer, type LayerBlob } from './index-layer.ts';
