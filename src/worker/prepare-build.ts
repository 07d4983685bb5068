import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseImageId, parseWorkspaceId, type WorkspaceId } from '../archive/index.ts';
import type { BuildRequest, LoginSource } from '../buildkit/index.ts';
import { type Cancelable, toWorkerError, WorkerError } from '../errors/index.ts';
import { makeDirectory } from '../files/index.ts';
import { type ImageBuild, parseSecondName } from '../jobs/index.ts';
import type { ObjectStore } from '../objects/index.ts';
import { formatPlatform, parsePlatform } from '../oci/index.ts';
import type { Job } from '../queue/index.ts';
import type { Repository } from '../registry/index.ts';
import { type BuildSpec, parseBuildSpec } from './build-spec.ts';
import { compressionOf } from './compression.ts';
import { findDockerfile } from './intake/find-dockerfile.ts';
import type { IntakeLimits } from './intake/intake-limits.ts';
import { openNamedContexts } from './intake/named-contexts.ts';
import { openSource } from './intake/open-source.ts';
import { cacheOf, fieldsOf } from './policy/caches.ts';
import { argumentsOf, askedFrontend, frontendOf } from './policy/frontend.ts';
import { networkOf } from './policy/network.ts';
import { repositoryOf } from './policy/repositories.ts';
import { sourceRules } from './policy/sources.ts';
import type { WorkerPolicy } from './policy/worker-policy.ts';
import type { Sealer } from './secrets/sealer.ts';
import { agentsOf } from './secrets/ssh-agents.ts';

export interface PrepareContext extends Cancelable {
  /** Where contexts were uploaded to. */
  readonly store: ObjectStore;
  /** A folder for this job alone, which need not exist; what an earlier attempt left there goes first. */
  readonly scratchDir: string;
  readonly sealer: Sealer;
  readonly policy: WorkerPolicy;
  readonly limits: IntakeLimits;
  /** Where images go that name no repository. */
  readonly target: Repository;
  /** For base images. */
  readonly logins?: LoginSource;
  /** The worker's, for git: PATH, proxies, certificates. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** A build that can be run now. Disposing removes its context. */
export interface PreparedBuild extends AsyncDisposable {
  readonly image: ImageBuild;
  /** Of the context, unpacked. */
  readonly contextBytes: number;
  readonly contextEntries: number;
}

/**
 * From a job of the queue to what `buildImage` takes: the context is unpacked, secrets are opened, and the policy is asked
 * again, as it may have changed since the build was submitted. Nothing is left behind when it throws: SPEC_INVALID,
 * CONTEXT_INVALID, CONTEXT_CHANGED, UPLOAD_NOT_FOUND, GIT_FAILED, LIMIT_EXCEEDED, SECRET_NOT_FOUND, FRONTEND_DENIED, SOURCE_DENIED,
 * DOCKERFILE_NOT_FOUND, CONTEXT_PATH_OUTSIDE.
 */
export async function prepareBuild(
  job: Pick<Job, 'workspaceId' | 'imageId' | 'spec'>,
  context: PrepareContext,
): Promise<PreparedBuild> {
  const { scratchDir, signal } = context;
  const spec = parseBuildSpec(job.spec);
  const workspaceId = parseWorkspaceId(job.workspaceId);
  await rm(scratchDir, { recursive: true, force: true });
  await makeDirectory(scratchDir, { mode: 0o700 });
  const remove = () => rm(scratchDir, { recursive: true, force: true });
  try {
    const { directory, size } = await openSource(spec, join(scratchDir, 'context'), { ...context, workspaceId });
    const build = await buildkitRequest(spec, directory, { ...context, workspaceId });
    const image: ImageBuild = {
      workspaceId,
      imageId: parseImageId(job.imageId),
      target: repositoryOf(spec.repository, { target: context.target, workspaceId }, context.policy),
      build,
      compression: compressionOf(spec),
      useCache: true,
      layoutDir: undefined,
      archiveFormat: spec.archiveFormat,
      alsoAs: secondNameOf(spec, workspaceId),
      indexFrom: 'layout',
    };
    return { image, contextBytes: size.bytes, contextEntries: size.entries, [Symbol.asyncDispose]: remove };
  } catch (thrown) {
    await remove();
    signal.throwIfAborted();
    throw toWorkerError(thrown, `prepare ${job.workspaceId}/${job.imageId}`);
  }
}

async function buildkitRequest(
  spec: BuildSpec,
  contextDir: string,
  context: PrepareContext & { readonly workspaceId: WorkspaceId },
): Promise<BuildRequest> {
  const { logins, policy, scratchDir, sealer, target, workspaceId } = context;
  const dockerfile = await findDockerfile(contextDir, spec.dockerfile);
  const syntax = frontendOf(askedFrontend(dockerfile.text, spec.buildArgs), spec.pinned, policy);
  const namedContexts = await openNamedContexts(spec.namedContexts, join(scratchDir, 'named'), context);
  return {
    contextDir,
    dockerfile: { file: dockerfile.path },
    syntax,
    // Cache mounts of one name are not shared between workspaces.
    buildArgs: { ...argumentsOf(spec.buildArgs), BUILDKIT_CACHE_MOUNT_NS: workspaceId },
    labels: spec.labels,
    platforms: spec.platforms.map((text) => formatPlatform(parsePlatform(text))),
    namedContexts,
    secrets: Object.fromEntries(
      spec.secrets.map(({ id, sealed }) => [id, { bytes: sealer.open({ workspaceId, id }, sealed) }]),
    ),
    ssh: agentsOf(spec.ssh, workspaceId, policy),
    network: networkOf(spec.network, policy),
    noCache: spec.noCache,
    cacheFrom: spec.cacheFrom.map((text) => cacheOf(text, workspaceId, policy)),
    cacheTo: spec.cacheTo.map((text) => cacheOf(text, workspaceId, policy)),
    attestations: attestationsOf(spec.attest),
    sourcePolicy: sourceRules({ pinned: spec.pinned, target, workspaceId }, policy),
    ...(spec.target !== undefined && { target: spec.target }),
    ...(policy.cgroupParent !== undefined && { cgroupParent: policy.cgroupParent }),
    ...(logins !== undefined && { logins }),
  };
}

/** `provenance[,mode=…]`, `sbom[,…]`. Throws SPEC_INVALID. */
export function attestationsOf(texts: readonly string[]): Readonly<Record<string, Readonly<Record<string, string>>>> {
  return Object.fromEntries(
    texts.map((text) => {
      const { type, ...options } = fieldsOf(text.startsWith('type=') ? text : `type=${text}`);
      if (type !== 'provenance' && type !== 'sbom')
        throw new WorkerError(
          'SPEC_INVALID',
          `attest ${text.slice(0, 200)}: provenance[,mode=…] or sbom[,…] is needed`,
        );
      return [type, options];
    }),
  );
}

/** Below a folder of the workspace's name: others' names in the store are not to be had. Throws SOURCE_DENIED, SPEC_INVALID. */
export function secondNameOf({ alsoAs }: Pick<BuildSpec, 'alsoAs'>, workspaceId: WorkspaceId): string | undefined {
  if (alsoAs === undefined) return undefined;
  if (!alsoAs.startsWith(`${workspaceId}/`))
    throw new WorkerError('SOURCE_DENIED', `alsoAs ${alsoAs}: a second name begins with ${workspaceId}/`);
  try {
    return parseSecondName(alsoAs);
  } catch (cause) {
    throw new WorkerError('SPEC_INVALID', `alsoAs ${alsoAs} cannot be a name in the store`, {}, { cause });
  }
}
