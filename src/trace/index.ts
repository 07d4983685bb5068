export { explain, type TracedImage } from './explain.ts';
export type { Advice, Explanation } from './explanation.ts';
export { explanationPage } from './page.ts';
export {
  formatProfile,
  MAX_PROFILE_CHUNKS,
  mergeProfiles,
  type Profile,
  parseProfile,
  parseProfileOrTrace,
  profileBytes,
  profileOf,
  startOf,
} from './profile.ts';
export { measuredLink, type Simulation, type SimulationOptions, simulate } from './simulate.ts';
export { MAX_TRACE_BYTES, parseTrace, type Touch, type Trace } from './trace-file.ts';
