/** What is said, word for word as the design has it. A registry is called by its host; GitHub's by its short name. */
export const texts = {
  title: () => '🚀 Milou Docker Build & Push',
  organization: (org: string) => `Organization: ${org}`,
  repository: (repo: string) => `Repository: ${repo}`,
  version: (version: string) => `Version: ${version}`,
  buildingFrom: (path: string) => `Building from: ${path}`,
  loggingIn: (registry: string) => `🔐 Logging in to ${registryName(registry)}...`,
  loggedIn: (registry: string) => `✅ Successfully logged in to ${registryName(registry)}`,
  processing: (service: string) => `📦 Processing ${service}...`,
  building: (service: string) => `🔨 Building ${service}...`,
  built: (reference: string) => `✅ Successfully built ${reference}`,
  willCreate: (tags: readonly string[]) => `🏷️  Will create tags: ${tags.join(' and ')}`,
  willMove: (version: string) => `💡 Tag behavior: Latest tag will move to version ${version}`,
  notMoved: (reason: string) => `💡 latest not moved: ${reason} (--latest=always moves it)`,
  pushingTo: (registry: string) => `🚀 Pushing to ${registryName(registry)}...`,
  pushing: (reference: string) => `📤 Pushing ${reference}...`,
  pushingLatest: (reference: string) => `📤 Pushing ${reference} (moving 'latest' tag)...`,
  pushed: (reference: string) => `✅ Successfully pushed ${reference}`,
  latestPointsHere: () => "🏷️  The 'latest' tag now points to this image",
  unchanged: (reference: string) => `✅ ${reference} is already up to date in registry`,
  skipping: (service: string) => `⏭️  Skipping ${service} (up to date)`,
  pushingAnyway: () => 'Image exists locally, pushing anyway...',
  summary: () => '📊 Build Summary:',
  succeeded: (services: string) => `   ✅ Success: ${services}`,
  skipped: (services: string) => `   ⏭️  Skipped: ${services}`,
  failed: (services: string) => `   ❌ Failed: ${services}`,
  allDone: () => '🎉 All operations completed successfully!',
  published: () => '📋 Published images:',
  publishedImage: (reference: string) => `   • ${reference}`,
  publishedLatest: (reference: string, version: string) => `   • ${reference} (moved to ${version})`,
  listHint: () => '💡 Use --list-images to see all tags in the registry',
  listing: (registry: string) => `📋 Listing images in ${registryName(registry)} with tags...`,
  imagesOf: (service: string) => `📦 ${service} images:`,
  listedTag: (tag: string, created: string) => `  • Tag: ${tag} (created: ${created})`,
  noTags: () => '  (no tags)',
  notesTitle: () => '💡 Tag Management Notes:',
  deletePreview: () => 'Images that will be deleted:',
  deleteService: (service: string, count: number) => `  ${service}: ${count} ${count === 1 ? 'image' : 'images'}`,
  deleteTag: (tag: string) => `    - ${tag}`,
} as const;

/** Below listings and in `--help`. */
export const TAG_NOTES = [
  "The 'latest' tag moves to the newest version that is pushed",
  'Version tags are permanent: they never change or move',
  "Only one image has the 'latest' tag at a time",
] as const;

export function registryName(registry: string): string {
  return registry === 'ghcr.io' ? 'GHCR' : registry;
}
