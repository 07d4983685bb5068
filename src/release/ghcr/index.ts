export { type GhcrStore, ghcrStore } from './ghcr-store.ts';
export { PackagesApi, type PackagesApiOptions } from './packages-api.ts';
