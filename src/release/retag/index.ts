export { deleteByMark, deleteTag, type MarkedDeletion } from './delete-tag.ts';
export { removeTag, type TagRemoval } from './remove-tag.ts';
export { isMark, isRemovedTagMark } from './removed-tag.ts';
export { createRepositoryLock, type HeldLock, NO_LOCK, type RepositoryLock } from './repository-lock.ts';
export { type RetagRequest, type RetagResult, retagImage } from './retag.ts';
export { inspectTarget, type RetagTarget, type TagWrite, writeTag } from './tag-write.ts';
