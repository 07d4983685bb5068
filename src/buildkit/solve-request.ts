import type { DeepPartial, SolveRequest } from '../gen/github.com/moby/buildkit/api/services/control/control.ts';
import type { BuildRequest, CacheSpec } from './build-request.ts';
import { policyOf } from './source-policy.ts';

/** The mount of a named context that is a directory. */
export function mountOfContext(name: string): string {
  return `context-${name}`;
}

export interface SolveIds {
  readonly ref: string;
  readonly sessionId: string;
  /** The Dockerfile's name inside its mount. */
  readonly dockerfileName: string;
  /** Run the steps and export nothing. */
  readonly stepsOnly?: boolean;
  /** Ask the Dockerfile frontend something instead of building (BuildKit frontend/subrequests). */
  readonly subrequest?: Subrequest;
}

/** `frontend.outline` reads the whole Dockerfile, and with that its lint warnings come through Status; no step runs. */
export type Subrequest = 'frontend.outline';

/**
 * The request of `Control.Solve`. New layers leave uncompressed, base layers as they are (no force-compression), and blobs
 * come one by one through the session's content store (`tar=false`).
 */
export function solveRequestOf(
  request: BuildRequest,
  { dockerfileName, ref, sessionId, stepsOnly = false, subrequest }: SolveIds,
): DeepPartial<SolveRequest> {
  const { cacheFrom = [], cacheTo = [], exporter = {}, imageName, network, sourcePolicy = [] } = request;
  const name = imageName === undefined ? {} : { name: imageName };
  return {
    Ref: ref,
    Session: sessionId,
    Frontend: 'dockerfile.v0',
    FrontendAttrs: {
      ...frontendAttrsOf(request, dockerfileName),
      ...(subrequest !== undefined && { requestid: subrequest, 'frontend.caps': 'moby.buildkit.frontend.subrequests' }),
    },
    Exporters: stepsOnly
      ? []
      : [
          {
            Type: 'oci',
            Attrs: { tar: 'false', compression: 'uncompressed', 'oci-mediatypes': 'true', ...name, ...exporter },
          },
        ],
    Cache: { Exports: cacheTo.map(cacheEntryOf), Imports: cacheFrom.map(cacheEntryOf) },
    Entitlements: network === 'host' ? ['network.host'] : [],
    ...(sourcePolicy.length > 0 && { SourcePolicy: policyOf(sourcePolicy) }),
  };
}

/** What the Dockerfile frontend is told (BuildKit frontend/dockerui, "config.go"). */
export function frontendAttrsOf(request: BuildRequest, dockerfileName: string): Record<string, string> {
  const {
    addHosts = [],
    attestations = {},
    buildArgs = {},
    cacheFrom = [],
    cgroupParent,
    labels = {},
    namedContexts = {},
    network,
  } = request;
  const { noCache = false, platforms = [], sourceDateEpoch, syntax, target } = request;
  const attrs: Record<string, string> = { filename: dockerfileName };
  if (target !== undefined) attrs['target'] = target;
  if (platforms.length > 0) attrs['platform'] = platforms.join(',');
  if (noCache) attrs['no-cache'] = '';
  if (network === 'host' || network === 'none') attrs['force-network-mode'] = network;
  if (cgroupParent !== undefined) attrs['cgroup-parent'] = cgroupParent;
  if (addHosts.length > 0) attrs['add-hosts'] = addHosts.map(({ host, ip }) => `${host}=${ip}`).join(',');
  // `Cache.Imports` alone is ignored by the Dockerfile frontend.
  if (cacheFrom.length > 0) attrs['cache-imports'] = JSON.stringify(cacheFrom.map(cacheEntryOf));
  if (sourceDateEpoch !== undefined) attrs['build-arg:SOURCE_DATE_EPOCH'] = String(sourceDateEpoch);
  for (const [name, value] of Object.entries(buildArgs)) attrs[`build-arg:${name}`] = value;
  // The frontend looks for another one unless this is set (frontend/dockerfile/builder/build.go).
  if (syntax === 'own') attrs['cmdline'] = 'own';
  else if (syntax !== undefined) attrs['build-arg:BUILDKIT_SYNTAX'] = syntax.image;
  for (const [name, value] of Object.entries(labels)) attrs[`label:${name}`] = value;
  for (const [type, options] of Object.entries(attestations)) {
    attrs[`attest:${type}`] = Object.entries(options)
      .map(([name, value]) => `${name}=${value}`)
      .join(',');
  }
  for (const [name, source] of Object.entries(namedContexts)) {
    attrs[`context:${name}`] = 'dir' in source ? `local:${mountOfContext(name)}` : source.url;
  }
  return attrs;
}

function cacheEntryOf({ attrs, type }: CacheSpec): { Type: string; Attrs: Record<string, string> } {
  return { Type: type, Attrs: { ...attrs } };
}
