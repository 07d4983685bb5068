import { randomUUID } from 'node:crypto';
import { parseImageId, type WorkspaceId } from '../../archive/index.ts';
import { type ErrorDetails, WorkerError } from '../../errors/index.ts';
import { formatPlatform, parsePlatform } from '../../oci/index.ts';
import type { Json, Submission } from '../../queue/index.ts';
import { formatReference, type RegistryClient, type Repository } from '../../registry/index.ts';
import type { Log } from '../../telemetry/index.ts';
import type { SecretValue, SubmitRequest } from '../api.ts';
import { type BuildSpec, parseBuildSpec, type SecretSpec } from '../build-spec.ts';
import { compressionOf } from '../compression.ts';
import { checkNamedContexts } from '../intake/named-contexts.ts';
import type { SourceContext } from '../intake/open-source.ts';
import { buildKey } from '../key/build-key.ts';
import { cacheOf } from '../policy/caches.ts';
import { networkOf } from '../policy/network.ts';
import { repositoryOf } from '../policy/repositories.ts';
import { sourceRules } from '../policy/sources.ts';
import { attestationsOf, secondNameOf } from '../prepare-build.ts';
import type { Sealer } from '../secrets/sealer.ts';
import { agentsOf } from '../secrets/ssh-agents.ts';
import { resolveBases } from './resolve-bases.ts';
import { requireUploads, resolveSource } from './resolve-source.ts';

export interface PlanContext extends SourceContext {
  readonly workspaceId: WorkspaceId;
  readonly target: Repository;
  readonly client: RegistryClient;
  readonly log: Log;
  /** Of builds that name none. */
  readonly timeoutMs: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

const PRIORITY = { default: 5, max: 9 };
/** BuildKit's convention (session/secrets/secretsprovider, MaxSecretSize), and what a queue should hold of one build. */
const MAX_SECRET_BYTES = 500 * 1024;

/**
 * From what a client asks to what is queued: checked against policy and limits, with everything fixed that may change until
 * the build runs, and with the key by which it is shared. Throws what a build can be refused for.
 */
export async function planSubmission(request: SubmitRequest, context: PlanContext): Promise<Submission> {
  const { now, policy, sealer, target, workspaceId } = context;
  const secrets = request.secrets.map((secret) => sealed(secret, workspaceId, sealer));
  // Nothing of a spec from outside counts that only a worker may say.
  const asked: BuildSpec = { ...parseBuildSpec(request.spec), pinned: {}, secrets };
  const repository = checkSpec(asked, context);
  const source = await resolveSource(asked, context);
  await requireUploads(asked.namedContexts, context);
  const bases = await resolveBases({ ...asked, context: source.context }, context);
  const isHermetic = asked.hermetic && bases.isHermetic;
  const spec: BuildSpec = { ...asked, context: source.context, pinned: bases.pinned, hermetic: isHermetic };
  const key = buildKey({
    workspaceId,
    imageId: spec.imageId,
    repository: formatReference(repository),
    context: source.identity,
    subdirectory: spec.context.type === 'git' ? spec.context.subdirectory : undefined,
    namedContexts: spec.namedContexts,
    dockerfile: spec.dockerfile,
    target: spec.target,
    platforms: spec.platforms,
    buildArgs: spec.buildArgs,
    labels: spec.labels,
    secrets: Object.fromEntries(spec.secrets.map(({ id, version }) => [id, version])),
    ssh: spec.ssh,
    network: networkOf(spec.network, policy),
    noCache: spec.noCache,
    cacheFrom: spec.cacheFrom,
    cacheTo: spec.cacheTo,
    attest: spec.attest,
    compression: compressionOf(spec),
    archiveFormat: spec.archiveFormat,
    alsoAs: spec.alsoAs,
    hermetic: spec.hermetic,
    pinned: spec.pinned,
    sourcePolicy: sourceRules({ pinned: spec.pinned, target, workspaceId }, policy),
  });
  const timeoutMs = Math.min(request.timeoutMs ?? context.timeoutMs, context.timeoutMs);
  return {
    workspaceId,
    imageId: spec.imageId,
    spec: JSON.parse(JSON.stringify(spec)) as Json,
    // What reads things without a name may differ each time: it is shared with those alone who say how old it may be.
    key: isHermetic || request.maxAgeMs !== undefined ? key : `${key}.${randomUUID()}`,
    idempotencyKey: request.idempotencyKey,
    priority: priorityOf(request.priority),
    deadlineMs: Number.isFinite(timeoutMs) ? now() + timeoutMs : undefined,
    platforms: spec.platforms.map((text) => formatPlatform(parsePlatform(text))),
    baseLayers: bases.baseLayers,
  };
}

/** Everything that can be refused without a look at the context. */
function checkSpec(spec: BuildSpec, { policy, target, workspaceId }: PlanContext): Repository {
  parseImageId(spec.imageId);
  compressionOf(spec);
  networkOf(spec.network, policy);
  agentsOf(spec.ssh, workspaceId, policy);
  attestationsOf(spec.attest);
  secondNameOf(spec, workspaceId);
  checkNamedContexts(spec.namedContexts, policy);
  for (const text of [...spec.cacheFrom, ...spec.cacheTo]) cacheOf(text, workspaceId, policy);
  for (const text of spec.platforms) platformOf(text);
  return repositoryOf(spec.repository, { target, workspaceId }, policy);
}

function platformOf(text: string): void {
  try {
    parsePlatform(text);
  } catch (cause) {
    throw invalid('platforms', `${JSON.stringify(text)} is no platform`, { platform: text }, cause);
  }
}

function sealed({ id, value, version }: SecretValue, workspaceId: string, sealer: Sealer): SecretSpec {
  if (id === '' || id.length > 256) throw invalid('secrets', 'an id has 1 to 256 characters');
  if (value.length > MAX_SECRET_BYTES)
    throw new WorkerError(
      'LIMIT_EXCEEDED',
      `secret ${id} has ${value.length} bytes, at most ${MAX_SECRET_BYTES} are taken`,
      {
        id,
      },
    );
  const owner = { workspaceId, id };
  return {
    id,
    version: version === '' ? sealer.fingerprint(owner, value) : version,
    sealed: sealer.seal(owner, value),
  };
}

function priorityOf(asked: number = PRIORITY.default): number {
  if (Number.isInteger(asked) && asked >= 0 && asked <= PRIORITY.max) return asked;
  throw invalid('priority', `${asked} is not 0 to ${PRIORITY.max}`);
}

function invalid(field: string, why: string, details: ErrorDetails = {}, cause?: unknown): WorkerError {
  return new WorkerError('SPEC_INVALID', `the build's ${field}: ${why}`, { field, ...details }, { cause });
}
