import { rm } from 'node:fs/promises';
import { parseImageId, type WorkspaceId } from '../../archive/index.ts';
import { type LoginSource, pinRules } from '../../buildkit/index.ts';
import type { Cancelable } from '../../errors/index.ts';
import type { Compression } from '../../indexer/index.ts';
import type { BuildResult, ImageBuild, JobReporter } from '../../jobs/index.ts';
import { type ObjectStore, openStore } from '../../objects/index.ts';
import { OciLayout } from '../../oci/index.ts';
import type { RegistryClient } from '../../registry/index.ts';
import type { ServiceHash } from '../context/service-hash.ts';
import type { LocalImage } from '../decide/image-facts.ts';
import { look } from '../decide/look-up.ts';
import type { Service } from '../file/service.ts';
import { type LocalPlaces, writeLocalImage } from '../state/local-images.ts';
import { layoutClient } from './layout-client.ts';

/** The pipeline, with everything that is the same for all services. */
export type RunBuild = (
  build: ImageBuild,
  where: Cancelable & { readonly client: RegistryClient; readonly store: ObjectStore; readonly report: JobReporter },
) => Promise<Pick<BuildResult, 'manifestDigest' | 'archives'>>;

export interface BuildServiceContext extends Cancelable {
  readonly runBuild: RunBuild;
  readonly client: RegistryClient;
  readonly store: ObjectStore;
  readonly places: LocalPlaces;
  /** Object store of archives whose images were not pushed yet: a `file:` URL. */
  readonly localStoreUrl: string;
  readonly workspaceId: WorkspaceId;
  readonly compression: Compression;
  readonly logins: LoginSource;
  readonly report: JobReporter;
}

export interface BuildServiceRequest {
  readonly service: Service;
  readonly hash: Pick<ServiceHash, 'digest' | 'bases'>;
  /** Name of the label for the context hash. */
  readonly label: string;
  /** Without: image and archive stay on this machine. */
  readonly push: boolean;
  readonly force: boolean;
}

/** Builds a service's image, untagged: into the registry, or into the layout that a later push takes it from. */
export async function buildService(request: BuildServiceRequest, context: BuildServiceContext): Promise<LocalImage> {
  const { hash, label, push, service } = request;
  const { places, signal } = context;
  const [client, store] = push
    ? [context.client, context.store]
    : [
        layoutClient(await OciLayout.open(places.layout, { create: true, signal })),
        openStore(context.localStoreUrl, {}),
      ];
  const { manifestDigest: digest } = await context.runBuild(imageBuildOf(request, context), {
    client,
    store,
    report: context.report,
    signal,
  });
  const { configDigest } = await look(digest, { client, image: service.image, label, signal });
  const image = { digest, configDigest, contextHash: hash.digest, isKept: !push };
  await writeLocalImage(places, image, { signal });
  if (push) await rm(places.layout, { recursive: true, force: true }); // what it held is older than this
  return image;
}

function imageBuildOf(
  { force, hash, label, service }: BuildServiceRequest,
  { compression, logins, workspaceId }: BuildServiceContext,
): ImageBuild {
  const { args, contextDir, dockerfile, image, imageId, platforms, target } = service;
  return {
    workspaceId,
    imageId: parseImageId(imageId),
    target: image,
    isUntagged: true,
    build: {
      contextDir,
      buildArgs: args,
      labels: { [label]: hash.digest },
      sourcePolicy: pinRules(hash.bases),
      noCache: force,
      logins,
      ...(dockerfile !== undefined && { dockerfile: { file: dockerfile } }),
      ...(target !== undefined && { target }),
      ...(platforms.length > 0 && { platforms }),
    },
    compression,
    useCache: true,
    layoutDir: undefined,
    archiveFormat: 'clipyard',
    alsoAs: undefined,
    indexFrom: 'layout',
  };
}
