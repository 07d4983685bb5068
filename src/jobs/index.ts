export { type ArchiveListing, readArchiveListing } from './archive-listing.ts';
export { type ArchiveSourceContext, type MountableArchive, openArchiveSource } from './archive-source.ts';
export { type BuildContext, buildImage } from './build-image.ts';
export { BUILD_STEPS, type BuildJournal, type BuildStep } from './build-journal.ts';
export type {
  BuildResult,
  BuiltArchive,
  BuiltLayer,
  ImageBuild,
  IndexFrom,
} from './build-request.ts';
export { archivesDirectory, dropDamaged } from './cached-archive.ts';
export type { JobEvent, JobReporter, UntimedJobEvent } from './events.ts';
export type { EngineChoice, IndexEngine } from './index-engine.ts';
export { type IndexContext, type IndexRequest, type IndexResult, type IndexSource, indexImage } from './index-image.ts';
export {
  collectLandings,
  type LandingGarbage,
  type LandingListing,
  landingDirectory,
  listLandings,
} from './landing-upkeep.ts';
export { openNamedArchive } from './named-archive.ts';
export { type PackCacheSettings, packsDirectory } from './pack-cache-settings.ts';
export type { Phase, PhaseName } from './phases.ts';
export { type ProfileName, publishProfile, readProfile } from './profiles.ts';
export {
  movePointer,
  type Pointer,
  type PointerContent,
  putOnce,
  type ReadPointer,
  readPointer,
  storeKeys,
} from './publish.ts';
export { reapBuilds } from './reap-builds.ts';
export {
  noteRecording,
  type PendingRecording,
  type ProfilePlace,
  type PublishedRecording,
  profilePathOf,
  publishRecordings,
  readProfileBeside,
} from './recordings.ts';
export { parseSecondName } from './second-name.ts';
