export { type PortableArchive, type WrittenArchive, writePortableArchive } from './assemble.ts';
export type { Entry } from './entry.ts';
export { type IndexedLayer, type IndexLayerOptions, indexLayer, type LayerBlob } from './index-layer.ts';
export { type ReadTarOptions, readTar } from './read-tar.ts';
export { type TarEntry, tarEntries } from './tar/tar-entries.ts';
