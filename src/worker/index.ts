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
export { intakeLimits, queueSettings, runSettings } from './config/run-settings.ts';
export { bytesOf, readWorkerConfig, type WorkerConfig, WorkerConfigSchema } from './config/worker-config.ts';
export { type ArchivesOptions, createArchives } from './create-archives.ts';
export { type BuildsOptions, createBuilds } from './create-builds.ts';
export { DEFAULT_INTAKE_LIMITS, type IntakeLimits } from './intake/intake-limits.ts';
export { type Disk, readDisk, requireRoom } from './loop/disk.ts';
export { openScratch, type Scratch } from './loop/scratch.ts';
export { keepUp, type UpkeepOptions } from './loop/upkeep.ts';
export { WarmLayers } from './loop/warm-layers.ts';
export { type Drained, type LoopOptions, WorkerLoop } from './loop/worker-loop.ts';
export { type MetricsServer, serveMetrics } from './metrics/metrics-server.ts';
export { WorkerMetrics } from './metrics/worker-metrics.ts';
export { DEFAULT_POLICY, parsePolicy, readPolicy, type WorkerPolicy } from './policy/worker-policy.ts';
export { type PrepareContext, type PreparedBuild, prepareBuild } from './prepare-build.ts';
export { findPublished, type PublishedBuild, type PublishedContext, recordPublished } from './published-builds.ts';
export { type RunContext, type RunEnd, type RunnableBuild, runJob } from './run/run-job.ts';
export { Sealer, type SecretOwner } from './secrets/sealer.ts';
export { openSealer } from './secrets/sealing-key.ts';
export { AttemptTrace } from './trace/attempt-trace.ts';
export { TraceSender } from './trace/trace-sender.ts';
