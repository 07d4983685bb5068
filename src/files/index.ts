export {
  removeQuietly,
  type StagedFile,
  type StageOptions,
  stageFile,
  type WriteOptions,
  writeFileAtomically,
} from './atomic.ts';
export { type LockOptions, lockFile } from './lock.ts';
export { namesIn } from './names.ts';
export { syncDirectory, syncFile } from './sync.ts';
