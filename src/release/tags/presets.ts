import type { TagRequest } from './calculate.ts';

/** Ready-made rules; docs/tags.md shows what each gives for each event. */
export const PRESETS = {
  /** The commit, the git tag as it is, and latest: what `clipyard release` writes. */
  release: {
    rules: ['type=semver,pattern={{raw}}', 'type=ref,event=pr', 'type=sha,format=long,prefix='],
    flavors: ['latest=auto'],
  },
  /** Version tags as with `tags-only`; the default branch is `latest-dev`. */
  'main-and-tags': {
    rules: [
      'type=semver,pattern={{version}}',
      'type=raw,value=latest,suffix=-dev,enable={{is_default_branch}}',
      'type=ref,event=pr',
    ],
    flavors: ['latest=auto'],
  },
  /** `1.2.3`, `1.2`, `latest` for a version tag; nothing for a branch. */
  'tags-only': {
    rules: ['type=semver,pattern={{version}}', 'type=semver,pattern={{major}}.{{minor}}', 'type=ref,event=pr'],
    flavors: ['latest=auto'],
  },
  /** The branch and the commit on each push, and version tags. */
  'every-commit': {
    rules: [
      'type=semver,pattern={{version}}',
      'type=semver,pattern={{major}}.{{minor}}',
      'type=ref,event=branch',
      'type=ref,event=pr',
      'type=sha',
    ],
    flavors: ['latest=auto'],
  },
} as const satisfies Record<string, Pick<TagRequest, 'rules' | 'flavors'>>;

export type PresetName = keyof typeof PRESETS;
