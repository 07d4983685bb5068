import { createHash } from 'node:crypto';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { type ObjectStore, readObject } from '../objects/index.ts';
import { formatProfile, MAX_TRACE_BYTES, mergeProfiles, type Profile, parseProfile } from '../trace/index.ts';

/** Others that publish a profile of the same image at the same moment. */
const MERGE_TRIES = 8;
/** The profile of starts that said nothing of what they run. */
const ANY_ENTRY = 'any';

/** Which starts a profile is for: it outlives builds, because it names chunks by their content. */
export interface ProfileName {
  /** Where the profiles of the image lie: the beginning of their keys. */
  readonly folder: string;
  readonly platform: string;
  /** What runs; empty: anything. */
  readonly entry: string;
}

/**
 * The profile of an image's starts, that of the same entry point before that of any. Undefined when none was published.
 * Throws TRACE_INVALID for an object that is no profile.
 */
export async function readProfile(
  store: ObjectStore,
  name: ProfileName,
  { signal }: Cancelable,
): Promise<Profile | undefined> {
  const names = name.entry === '' ? [name] : [name, { ...name, entry: '' }];
  for (const each of names) {
    const found = await readAt(store, profileKey(each), { signal });
    if (found !== undefined) return found.profile;
  }
  return undefined;
}

/** Merges a profile into the one that is there and gives the result. Throws STORE_CONFLICT when others never stop doing so. */
export async function publishProfile(
  store: ObjectStore,
  name: ProfileName,
  profile: Profile,
  { signal }: Cancelable,
): Promise<{ readonly url: string; readonly profile: Profile }> {
  const key = profileKey(name);
  for (let tries = 1; ; tries += 1) {
    const before = await readAt(store, key, { signal });
    const merged = before === undefined ? profile : mergeProfiles(before.profile, profile);
    const condition = before === undefined ? { ifNoneMatch: '*' as const } : { ifMatch: before.etag };
    try {
      await store.put(key, formatProfile(merged), { ...condition, contentType: 'application/json', signal });
      return { url: store.urlOf(key), profile: merged };
    } catch (thrown) {
      const conflict = thrown instanceof WorkerError && thrown.code === 'STORE_CONFLICT';
      if (!conflict || tries >= MERGE_TRIES) throw thrown;
    }
  }
}

function profileKey({ entry, folder, platform }: ProfileName): string {
  const hash = createHash('sha256').update(entry).digest('hex').slice(0, 16);
  return `${folder}/${platform.replaceAll('/', '-')}/${entry === '' ? ANY_ENTRY : `entry-${hash}`}.json`;
}

async function readAt(
  store: ObjectStore,
  key: string,
  { signal }: Cancelable,
): Promise<{ readonly profile: Profile; readonly etag: string } | undefined> {
  try {
    const { bytes, etag } = await readObject(store, key, { signal, maxBytes: MAX_TRACE_BYTES });
    return { profile: parseProfile(Buffer.from(bytes).toString('utf8')), etag };
  } catch (thrown) {
    if (thrown instanceof WorkerError && thrown.code === 'STORE_OBJECT_NOT_FOUND') return undefined;
    throw thrown;
  }
}
