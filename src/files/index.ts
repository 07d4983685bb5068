export {
  removeQuietly,
  type StagedFile,
  type StageOptions,
  stageFile,
  type WriteOptions,
  writeFileAtomically,
} from './atomic.ts';
export { type DirectoryOptions, makeDirectory } from './directory.ts';
export { type LockOptions, lockFile } from './lock.ts';
export { filesIn, longestUnusedFirst, type NamedFile, namesIn } from './names.ts';
export { syncDirectory, syncFile } from './sync.ts';
