export type { Child, Inventory, InventoryProblem, ManifestEntry, TagEntry } from './inventory.ts';
export { type InventoryOptions, readInventory } from './read-inventory.ts';
export { readTag, type TagKind, type TagReading, type TagReadingOptions, variantsAmong } from './read-tag.ts';
export { compareVersions, readVersion, type Version } from './read-version.ts';
export { type RegistryReaderOptions, registryReader } from './registry-reader.ts';
export { type Release, releasesOf } from './releases.ts';
export type { ListedManifest, RepositoryReader } from './repository-reader.ts';
