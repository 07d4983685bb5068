import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { filesIn, longestUnusedFirst, namesIn } from '../files/index.ts';
import { OciLayout } from '../oci/index.ts';

/** The landing layout of an image (its tag), between builds. */
export interface LandingListing {
  readonly name: string;
  /** Sizes of its files; those it shares with buildkitd by link are counted too. */
  readonly bytes: number;
  readonly lastUsedMs: number;
}

export interface LandingGarbage {
  /** Those that are emptied, or with `dryRun` would be. */
  readonly removed: readonly string[];
  /** Those that would have been, but a build has them. */
  readonly inUse: readonly string[];
  /** Those that would have been, but are no layouts any more. */
  readonly damaged: readonly string[];
  readonly freedBytes: number;
  readonly keptBytes: number;
}

/** Where builds land, a layout an image. */
export function landingDirectory(stateDir: string): string {
  return join(stateDir, 'landing');
}

/** Landing layouts with something in them, the longest unused first. */
export async function listLandings(stateDir: string): Promise<readonly LandingListing[]> {
  const listings: LandingListing[] = [];
  for (const name of await namesIn(landingDirectory(stateDir))) {
    const directory = join(landingDirectory(stateDir), name);
    // A build writes the index when it tags what landed.
    const used = await stat(join(directory, 'index.json')).catch(() => undefined);
    if (used === undefined) continue;
    const bytes =
      (await sizeOfFiles(join(directory, 'blobs', 'sha256'))) + (await sizeOfFiles(join(directory, '.ingest')));
    if (bytes > 0) listings.push({ name, bytes, lastUsedMs: used.mtimeMs });
  }
  return longestUnusedFirst(listings);
}

export interface LandingBounds {
  readonly maxBytes: number;
  readonly olderThanMs: number;
}

/** Pure: which go. `listings` as `listLandings` orders them. */
export function planLandings(
  listings: readonly LandingListing[],
  { maxBytes, olderThanMs }: LandingBounds,
  nowMs: number,
): readonly LandingListing[] {
  let keptBytes = listings.reduce((sum, { bytes }) => sum + bytes, 0);
  return listings.filter(({ bytes, lastUsedMs }) => {
    if (keptBytes <= maxBytes && nowMs - lastUsedMs <= olderThanMs) return false;
    keptBytes -= bytes;
    return true;
  });
}

/**
 * Empties the landing layouts that nobody built into for `olderThanMs`, and the longest unused of the rest until they fit into
 * `maxBytes`. A build holds the lock of its layout: that one stays. What is empty keeps its folder and its lock's file, which a
 * build may be about to take; the next build lands in it anew.
 */
export async function collectLandings(
  stateDir: string,
  { dryRun = false, signal, ...bounds }: Cancelable & LandingBounds & { readonly dryRun?: boolean },
): Promise<LandingGarbage> {
  const listings = await listLandings(stateDir);
  const outcomes: { readonly listing: LandingListing; readonly outcome: Outcome }[] = [];
  for (const listing of planLandings(listings, bounds, Date.now())) {
    signal.throwIfAborted();
    const directory = join(landingDirectory(stateDir), listing.name);
    outcomes.push({ listing, outcome: await empty(directory, { dryRun, signal }) });
  }
  const those = (wanted: Outcome) => outcomes.filter(({ outcome }) => outcome === wanted).map(({ listing }) => listing);
  const names = (wanted: Outcome) => those(wanted).map(({ name }) => name);
  const sum = (all: readonly LandingListing[]) => all.reduce((total, { bytes }) => total + bytes, 0);
  const freedBytes = sum(those('removed'));
  const keptBytes = sum(listings) - freedBytes;
  return { removed: names('removed'), inUse: names('inUse'), damaged: names('damaged'), freedBytes, keptBytes };
}

type Outcome = 'removed' | 'inUse' | 'damaged';
const OUTCOMES: Readonly<Record<string, Outcome>> = {
  LAYOUT_LOCKED: 'inUse',
  LAYOUT_INVALID: 'damaged',
  LAYOUT_NOT_FOUND: 'damaged',
};

async function empty(
  directory: string,
  { dryRun, signal }: Cancelable & { readonly dryRun: boolean },
): Promise<Outcome> {
  try {
    const layout = await OciLayout.open(directory, { signal });
    await layout.clear({ dryRun, signal });
    return 'removed';
  } catch (thrown) {
    const outcome = thrown instanceof WorkerError ? OUTCOMES[thrown.code] : undefined;
    if (outcome === undefined) throw thrown;
    return outcome;
  }
}

async function sizeOfFiles(directory: string): Promise<number> {
  return (await filesIn(directory)).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}
