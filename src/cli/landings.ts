import type { LandingGarbage, LandingListing } from '../jobs/index.ts';
import { formatBytes, formatTable } from './output.ts';

/** Landing layouts in the result of `cache ls --json`. */
export function landingsOf(landings: readonly LandingListing[]) {
  return landings.map(({ bytes, lastUsedMs, name }) => ({ name, bytes, lastUsed: new Date(lastUsedMs).toISOString() }));
}

/** The same for a person; nothing where there are none. */
export function landingTable(landings: readonly LandingListing[]): string {
  if (landings.length === 0) return '';
  const rows = landings.map(({ bytes, lastUsedMs, name }) => [
    name,
    formatBytes(bytes),
    new Date(lastUsedMs).toISOString(),
  ]);
  const bytes = landings.reduce((sum, landing) => sum + landing.bytes, 0);
  return `\n${formatTable(['landing layout', 'size >', 'last used'], rows)}${landings.length} layouts, ${formatBytes(bytes)}\n`;
}

export function landingGarbageLine({ damaged, freedBytes, inUse, removed }: LandingGarbage, dryRun: boolean): string {
  const left = [...inUse.map((name) => `; ${name} is in use`), ...damaged.map((name) => `; ${name} is damaged`)].join(
    '',
  );
  return `${dryRun ? 'would empty' : 'emptied'} ${removed.length} landing layouts, ${formatBytes(freedBytes)}${left}\n`;
}
