export type { BuildRequest, CacheSpec, DockerfileSource } from './build-request.ts';
export type { BuildkitResult } from './build-result.ts';
export {
  BuildkitClient,
  type BuildkitInfo,
  type BuildOptions,
  type ConnectOptions,
  connectBuildkit,
} from './client.ts';
export type { ContextLimits } from './context/context-sender.ts';
export type { LandedBlob } from './landing/lander.ts';
export { LANDING_PATHS, type Landing, type LandingPath } from './landing/landing.ts';
export type { BuildEvent, BuildListener, LandedVia } from './progress/events.ts';
export { plainRenderer } from './progress/plain.ts';
export { type TerminalOptions, type TerminalOutput, type TerminalRenderer, terminalRenderer } from './progress/tty.ts';
export type { LoginSource, RegistryLogin } from './session/auth.ts';
export type { SecretSource } from './session/secrets.ts';
