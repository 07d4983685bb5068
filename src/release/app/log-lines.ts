/** What a release says, line by line. Pipelines and dashboards look for these texts: they are part of the contract. */
export const RELEASE_LINES = {
  found: (commit: string, reference: string) =>
    `✅ Found existing image for commit ${shortCommit(commit)}: ${reference}`,
  willRetag: () => '✅ Found existing image - will re-tag',
  optimizing: () => 'Optimizing: Re-tagging existing image instead of rebuilding',
  tagged: (tag: string) => `✅ Tagged with ${tag}`,
  retagged: (app: string, version: string) => `Successfully tagged ${app} ${version} from existing commit image`,
  notFound: (commit: string) => `No existing image found for commit ${shortCommit(commit)}, will build`,
  unknown: (commit: string, why: string) =>
    `Could not look up the image of commit ${shortCommit(commit)}, will build: ${why}`,
  building: () => 'Building OCI image index with platform transitions...',
  built: (platforms: number) => `✅ Built OCI image index containing ${platforms} platform variants`,
  pushing: (tags: number) => `Pushing OCI image index with ${tags} tags...`,
  pushed: (app: string, version: string) => `Successfully pushed ${app} ${version}`,
  failed: (why: string) => `Failed to tag existing image, falling back to rebuild: ${why}`,
  rebuilding: () => 'Rebuilding image...',
  pushedAfterFallback: (app: string, version: string) => `Successfully pushed ${app} ${version} (after fallback)`,
  kept: (tag: string, why: string) => `${tag} not moved: ${why}`,
  resuming: (why: string) => `Some tags are written already; writing the missing ones: ${why}`,
  standing: (commit: string) =>
    `The image of commit ${shortCommit(commit)} can be read again: it is released, not the rebuilt one`,
} as const;

/** What a release did, by its log. */
export type ReleaseOutcome = 'optimized' | 'built' | 'fallback' | 'failed';

/** The three groups that monitoring looks for (docs/release.md); `failed` when none of their last lines is there. */
export function classifyRelease(lines: readonly string[]): ReleaseOutcome {
  if (lines.some((line) => /^Successfully pushed \S+ \S+ \(after fallback\)$/.test(line))) return 'fallback';
  if (lines.some((line) => /^Successfully pushed \S+ \S+$/.test(line))) return 'built';
  return lines.some((line) => /^Successfully tagged \S+ \S+ from existing commit image$/.test(line))
    ? 'optimized'
    : 'failed';
}

function shortCommit(commit: string): string {
  return commit.slice(0, 7);
}
