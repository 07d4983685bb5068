export { requireKey } from './key.ts';
export type {
  ListedObject,
  ObjectBody,
  ObjectInfo,
  ObjectRange,
  ObjectStore,
  PutOptions,
  StoreAccess,
} from './object-store.ts';
export { openStore } from './open-store.ts';
export { readJson } from './read-json.ts';
export { readObject } from './read-object.ts';
