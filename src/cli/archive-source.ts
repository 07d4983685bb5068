import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { WorkerError } from '../errors/index.ts';
import { type MountableArchive, openArchiveSource } from '../jobs/index.ts';
import {
  formatPlatform,
  type ImageConfig,
  localPlatform,
  parsePlatform,
  platformOfConfig,
  samePlatform,
} from '../oci/index.ts';
import { parseReference } from '../registry/index.ts';
import type { CommandContext } from './context.ts';
import { objectStore, packCacheSettings, registryClient } from './services.ts';

/** The flags that say where an archive and its blobs are. */
export interface ArchiveFlags {
  readonly store?: string;
  readonly cache?: string;
  readonly storageRef?: string;
  readonly platform?: string;
  readonly plainHttp?: boolean;
}

/** Finds what a person names, with what a mount needs of it, whoever wrote it. Throws PLATFORM_NOT_FOUND for another than --platform. */
export async function mountableArchive(
  source: string,
  flags: ArchiveFlags,
  context: CommandContext,
): Promise<MountableArchive> {
  const { log, settings, signal, tools } = context;
  await using client = await registryClient(context, flags);
  await using packCache = packCacheSettings(context);
  const archive = await openArchiveSource(source, {
    client,
    tools,
    log,
    limits: settings.limits,
    signal,
    packCache,
    cacheDir: resolve(flags.cache ?? settings.cacheDir),
    stateDir: settings.stateDir,
    jobs: availableParallelism(),
    report: () => undefined,
    openStore: (url) => objectStore(context, url ?? flags.store),
    platform: flags.platform ?? formatPlatform(localPlatform()),
    ...(flags.storageRef !== undefined && { blobsAt: parseReference(flags.storageRef) }),
  });
  if (flags.platform !== undefined) requirePlatform(flags.platform, archive.config, source);
  return archive;
}

/** What was asked for by name is not exchanged for the only one that is there; an archive without configuration (V1) names none. */
function requirePlatform(wanted: string, config: ImageConfig, source: string): void {
  if (!config.architecture) return;
  const there = platformOfConfig(config);
  if (samePlatform(there, parsePlatform(wanted))) return;
  throw new WorkerError('PLATFORM_NOT_FOUND', `${source} is for ${formatPlatform(there)}, not for ${wanted}`, {
    platforms: [formatPlatform(there)],
  });
}
