export { type ArchiveListing, readArchiveListing } from './archive-listing.ts';
export { type ArchiveSourceContext, type MountableArchive, openArchiveSource } from './archive-source.ts';
export { type BuildContext, buildImage } from './build-image.ts';
export type {
  BuildResult,
  BuiltArchive,
  BuiltLayer,
  ImageBuild,
  IndexFrom,
} from './build-request.ts';
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
export { type PackCacheSettings, packsDirectory } from './pack-cache-settings.ts';
export type { Phase, PhaseName } from './phases.ts';
export { type ProfileName, publishProfile, readProfile } from './profiles.ts';
export { type Pointer, type ReadPointer, readPointer, storeKeys } from './publish.ts';
export { parseSecondName } from './second-name.ts';
