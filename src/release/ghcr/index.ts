export { type GhcrStore, ghcrStore } from './ghcr-store.ts';
export type { PackagesApiOptions } from './packages-api.ts';
