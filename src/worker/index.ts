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
