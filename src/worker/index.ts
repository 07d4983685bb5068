export type {
  Archives,
  ArchiveView,
  Builds,
  BuildView,
  SecretValue,
  SubmitRequest,
  Submitted,
  WorkerControl,
} from './api.ts';
export { type BuildSpec, type ContextSpec, parseBuildSpec, type SecretSpec } from './build-spec.ts';
export { type BuildsOptions, createBuilds } from './create-builds.ts';
export { DEFAULT_INTAKE_LIMITS, type IntakeLimits } from './intake/intake-limits.ts';
export { DEFAULT_POLICY, parsePolicy, readPolicy, type WorkerPolicy } from './policy/worker-policy.ts';
export { type PrepareContext, type PreparedBuild, prepareBuild } from './prepare-build.ts';
export { findPublished, type PublishedBuild, type PublishedContext, recordPublished } from './published-builds.ts';
export { Sealer, type SecretOwner } from './secrets/sealer.ts';
export { openSealer } from './secrets/sealing-key.ts';
