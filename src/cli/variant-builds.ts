import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseWorkspaceId } from '../archive/index.ts';
import { type BuildkitClient, type BuildRequest, connectBuildkit } from '../buildkit/index.ts';
import type { Digest } from '../digest/index.ts';
import type { Cancelable } from '../errors/index.ts';
import { type BuildContext, type BuildResult, buildImage, type JobReporter } from '../jobs/index.ts';
import { OciLayout } from '../oci/index.ts';
import type { RegistryClient } from '../registry/index.ts';
import type { MatrixConfig, VariantBuild } from '../release/index.ts';
import { type BuildkitFlags, buildkitRequest } from './buildkit-flags.ts';
import type { CommandContext } from './context.ts';
import { type CompressionFlags, parseCompression } from './parse-options.ts';
import { objectStore, packCacheSettings } from './services.ts';

export interface VariantBuildFlags extends CompressionFlags {
  readonly workspace?: string;
  readonly store?: string;
  readonly buildkit?: string;
  readonly cache: boolean;
  readonly cacheFrom: readonly string[];
  readonly cacheTo: readonly string[];
  readonly secret: readonly string[];
  readonly ssh: readonly string[];
  readonly caBundle?: string;
  readonly layout?: string;
}

/** Builds variants one after another with one daemon, whose cache they share: a stage that is the same in all is built once. */
export interface VariantBuilder extends AsyncDisposable {
  readonly buildkit: BuildkitClient;
  readonly request: BuildRequest;
  /** Through the whole pipeline: pushed and published. */
  publish(build: VariantBuild, options: Cancelable): Promise<BuildResult>;
  /** Into a layout on this machine; no registry and no store is asked. */
  keep(build: VariantBuild, options: Cancelable): Promise<Digest>;
}

export async function variantBuilder(
  config: MatrixConfig,
  configDir: string,
  flags: VariantBuildFlags,
  context: CommandContext,
  parts: { readonly client: RegistryClient; readonly report: JobReporter },
): Promise<VariantBuilder> {
  const { log, settings, signal, tools } = context;
  const workspaceId = parseWorkspaceId(flags.workspace ?? settings.workspace);
  const compression = parseCompression(flags);
  const request = await buildkitRequest(flagsOf(config, configDir, flags), context);
  const address = flags.buildkit ?? settings.buildkitAddress;
  const contentDir = address === settings.buildkitAddress ? settings.buildkitContentDir : undefined;
  await using stack = new AsyncDisposableStack();
  const store = stack.use(objectStore(context, flags.store));
  const packCache = stack.use(packCacheSettings(context));
  const buildkit = stack.use(
    await connectBuildkit({ address, log, signal, ...(contentDir !== undefined && { contentDir }) }),
  );
  const { client, report } = parts;
  const buildContext: Omit<BuildContext, 'signal'> = {
    ...{ buildkit, client, store, tools, log, packCache, report },
    stateDir: settings.stateDir,
    limits: settings.limits,
    jobs: availableParallelism(),
    now: () => performance.now(),
  };
  const owned = stack.move();
  return {
    buildkit,
    request,
    publish: (build, options) =>
      buildImage(
        {
          workspaceId,
          imageId: build.imageId,
          target: config.target,
          build: requestOf(request, build),
          compression,
          useCache: true,
          layoutDir: undefined,
          archiveFormat: 'clipyard',
          alsoAs: undefined,
          indexFrom: 'layout',
        },
        { ...buildContext, ...options },
      ),
    keep: (build, options) =>
      keepLocally(requestOf(request, build), build.localTags, {
        ...options,
        buildkit,
        report,
        directory: flags.layout ?? join(settings.stateDir, 'local', config.target.repository),
      }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Named in the layout as a pushed one would be in its repository. */
async function keepLocally(
  request: BuildRequest,
  tags: readonly string[],
  {
    buildkit,
    directory,
    report,
    signal,
  }: Cancelable & { readonly buildkit: BuildkitClient; readonly directory: string; readonly report: JobReporter },
): Promise<Digest> {
  const layout = await OciLayout.open(directory, { create: true, signal });
  await using _lease = await layout.lock({ signal });
  const { descriptor } = await buildkit.build(request, {
    landing: layout,
    signal,
    onEvent: (event) => {
      report({ type: 'buildkit', event });
    },
  });
  for (const tag of tags) await layout.setTag(tag, descriptor, { signal });
  return descriptor.digest;
}

function requestOf(request: BuildRequest, { buildArgs, labels, platforms }: VariantBuild): BuildRequest {
  return { ...request, buildArgs, labels, platforms };
}

/** Paths of a configuration begin where it lies. */
function flagsOf(config: MatrixConfig, configDir: string, flags: VariantBuildFlags): BuildkitFlags {
  const { cache, cacheFrom, cacheTo, caBundle, secret, ssh } = flags;
  return {
    context: join(configDir, config.context),
    ...(config.dockerfile !== undefined && { file: join(configDir, config.dockerfile) }),
    ...(config.stage !== undefined && { target: config.stage }),
    ...{ buildArg: [], label: [], buildContext: [], attest: [], addHost: [] },
    ...{ cache, cacheFrom, cacheTo, secret, ssh },
    ...(caBundle !== undefined && { caBundle }),
  };
}
