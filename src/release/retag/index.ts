export { createRepositoryLock, NO_LOCK, type RepositoryLock } from './repository-lock.ts';
export { type RetagRequest, type RetagResult, retagImage } from './retag.ts';
export type { RetagTarget, TagWrite } from './tag-write.ts';
