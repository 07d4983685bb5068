import { openContext } from '../../buildkit/index.ts';
import type { Cancelable } from '../../errors/index.ts';
import type { NativeToolPaths } from '../../native/index.ts';
import type { RegistryClient } from '../../registry/index.ts';
import type { Service } from '../file/service.ts';
import { type BaseDigests, baseDigests } from './base-digests.ts';
import { type HashedContext, hashContext } from './hash-context.ts';
import { StatCache } from './stat-cache.ts';

export interface ServiceHash extends HashedContext {
  /** Digests of the bases as the hash has them: a build of this hash starts from these, wherever their tags went since. */
  readonly bases: BaseDigests['bases'];
  /** Bases whose digest is not known: the hash then says nothing of them. */
  readonly unknownBases: readonly string[];
}

export interface HashOptions extends Cancelable {
  readonly client: Pick<RegistryClient, 'headManifest'>;
  readonly tools: NativeToolPaths;
  /** Folder of the stat caches. */
  readonly cacheDir: string;
}

/** The context hash of a service. Throws CONTEXT_NOT_FOUND, DOCKERFILE_NOT_FOUND, which name the path expected. */
export async function hashService(
  service: Service,
  { cacheDir, client, signal, tools }: HashOptions,
): Promise<ServiceHash> {
  const { args, contextDir, dockerfile, platforms, target } = service;
  const context = await openContext({
    contextDir,
    ...(dockerfile !== undefined && { dockerfile: { file: dockerfile } }),
  });
  const [cache, { bases, unknown }] = await Promise.all([
    StatCache.open(cacheDir, contextDir),
    baseDigests(context.dockerfile, args, { client, signal }),
  ]);
  const hashed = await hashContext(context, { args, target, platforms, bases }, { cache, signal, tools });
  return { ...hashed, bases, unknownBases: unknown };
}
