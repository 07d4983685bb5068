import type { OpenRangeSource } from '../archive/index.ts';
import { openNamedArchive } from '../jobs/index.ts';
import { formatPlatform, localPlatform } from '../oci/index.ts';
import type { CommandContext } from './context.ts';
import { objectStore, registryClient } from './services.ts';

/** Where an archive that is read as it is, without a mount, is looked for. */
export interface ListingFlags {
  readonly store?: string;
  readonly platform?: string;
  readonly plainHttp?: boolean;
}

export function namedArchiveContext({ platform, plainHttp, store }: ListingFlags, context: CommandContext) {
  return {
    signal: context.signal,
    openStore: (url?: string) => objectStore(context, url ?? store),
    openClient: () => registryClient(context, { plainHttp: plainHttp === true }),
    platform: platform ?? formatPlatform(localPlatform()),
  };
}

/** The archive that a person names: a file, `s3://bucket/key`, `docker://REF` or WORKSPACE/IMAGE. */
export async function namedArchive(
  name: string,
  flags: ListingFlags,
  context: CommandContext,
): Promise<OpenRangeSource> {
  return await openNamedArchive(name, namedArchiveContext(flags, context));
}
