import { baseReferences } from '../../buildkit/index.ts';
import type { RegistryClient } from '../../registry/index.ts';
import type { Log } from '../../telemetry/index.ts';
import type { BuildSpec } from '../build-spec.ts';
import type { SourceContext } from '../intake/open-source.ts';
import { readDockerfile } from '../intake/read-dockerfile.ts';
import { type Pins, pinBases } from '../key/pin-bases.ts';
import { askedFrontend, frontendOf } from '../policy/frontend.ts';
import { wholeName } from '../policy/image-name.ts';
import { requireSource } from '../policy/sources.ts';

const IMAGE = 'docker-image://';
/** A registry that is slow to answer makes builds less shared, and no submission slow. */
const RESOLVE_MS = 20_000;

export interface ResolvedBases extends Pins {
  /** Whether every source of the build is named by a digest, as far as the Dockerfile says. */
  readonly isHermetic: boolean;
}

/**
 * What a build starts from, held to what it is now. Asks the policy about frontend and sources on the way, so that a build that
 * could not run is not queued. Throws FRONTEND_DENIED, SOURCE_DENIED, and what reading the context throws.
 */
export async function resolveBases(
  spec: BuildSpec,
  context: SourceContext & { readonly client: RegistryClient; readonly log: Log },
): Promise<ResolvedBases> {
  const { client, log, policy, signal } = context;
  const dockerfile = await readDockerfile(spec, context);
  const contexts = Object.entries(spec.namedContexts);
  const images = contexts.flatMap(([, value]) => (value.startsWith(IMAGE) ? [value.slice(IMAGE.length)] : []));
  const read =
    dockerfile === undefined
      ? { references: [], unknown: ['the Dockerfile'] }
      : baseReferences(dockerfile, { buildArgs: spec.buildArgs, namedContexts: contexts.map(([name]) => name) });
  const frontend = dockerfile === undefined ? undefined : askedFrontend(dockerfile, spec.buildArgs);
  const references = [...read.references, ...images];
  for (const reference of references) requireSource(`${IMAGE}${wholeName(reference)}`, policy);
  const asked = frontend === undefined ? [] : [frontend];
  const pins = await pinBases([...references, ...asked], {
    client,
    log,
    signal,
    timeoutMs: RESOLVE_MS,
    platforms: spec.platforms,
  });
  frontendOf(frontend, pins.pinned, policy);
  const fetched = contexts.some(([, value]) => /^(?:https?|git):/.test(value));
  return { ...pins, isHermetic: read.unknown.length === 0 && pins.open.length === 0 && !fetched };
}
