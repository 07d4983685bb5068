import { WorkerError } from '../../errors/index.ts';
import { effectiveContext, type TagContext } from '../tags/index.ts';
import { parseSemanticVersion } from '../version/index.ts';
import { type MatrixConfig, repeated } from './config.ts';

/** What happened, as far as it decides on tags. */
export type MatrixEvent =
  | { readonly kind: 'release'; readonly version: string; readonly prerelease: boolean }
  | { readonly kind: 'development'; readonly branch: string }
  | { readonly kind: 'pull-request'; readonly number: string }
  | { readonly kind: 'none'; readonly reason: string };

/**
 * precision: version and variant, for good. variant: the newest release of a variant. version: the default variant of a release, for
 * good. latest: of the newest release. development: the newest build of the branch. local: of a pull request, never pushed.
 */
export type TagRole = 'precision' | 'variant' | 'version' | 'latest' | 'development' | 'local';

export interface TagAssignment {
  readonly tag: string;
  readonly role: TagRole;
  readonly variant: string;
}

/** All tags of one run, before anything is built. */
export interface MatrixTags {
  readonly event: MatrixEvent;
  /** Whether anything leaves this machine. */
  readonly push: boolean;
  /** In the order they are written: precision, variant, version, development, `latest` last. */
  readonly assignments: readonly TagAssignment[];
  readonly primary: readonly string[];
  readonly variants: readonly string[];
  readonly precision: readonly string[];
}

/** OCI distribution-spec 1.1, "Pulling manifests". */
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;

/** Written for good: other bytes are never put under it. */
export function isPermanent({ role }: TagAssignment): boolean {
  return role === 'precision' || role === 'version';
}

/**
 * All tags of all variants, in one place: pure, no network. Throws MATRIX_INVALID when a tag breaks the grammar or two variants
 * want the same one: before the first build.
 */
export function calculateMatrix(config: MatrixConfig, given: TagContext): MatrixTags {
  const event = eventOf(config, given);
  const all = assignmentsOf(config, event);
  check(config, event, all);
  const assignments = all.filter(({ tag }, at) => all.findIndex((other) => other.tag === tag) === at);
  const named = (...roles: readonly TagRole[]) =>
    assignments.flatMap(({ role, tag }) => (roles.includes(role) ? [tag] : []));
  return {
    event,
    push: event.kind === 'release' || event.kind === 'development',
    assignments,
    primary: [
      ...named('latest', 'version', 'development'),
      ...assignments.flatMap(({ role, tag, variant }) =>
        role === 'local' && variant === config.defaultVariant ? [tag] : [],
      ),
    ].toSorted((one, other) => Number(other === 'latest') - Number(one === 'latest')),
    variants: named('variant'),
    precision: named('precision'),
  };
}

/** `python3.13`: a variant as tags name it. */
export function variantTag({ prefix }: Pick<MatrixConfig, 'prefix'>, variant: string): string {
  return `${prefix}${variant}`;
}

/**
 * A pull request is one whatever its ref says: `pull_request_target` names the base branch. A git tag is a release when it is a
 * semantic version, with or without a leading `v`.
 */
function eventOf(config: MatrixConfig, given: TagContext): MatrixEvent {
  const { defaultBranch, event, pullRequest, ref } = effectiveContext(given, { prHeadSha: false });
  if (event.startsWith('pull_request') || ref.startsWith('refs/pull/')) {
    const number = /^refs\/pull\/(\d+)\//.exec(ref)?.[1] ?? pullRequest?.number ?? '';
    if (!/^\d+$/.test(number))
      throw new WorkerError('TAG_CONTEXT_INVALID', 'the context of a pull request names no number');
    return { kind: 'pull-request', number };
  }
  if (ref.startsWith('refs/tags/')) return releaseOf(ref.slice('refs/tags/'.length));
  const branch = config.branch ?? (defaultBranch === '' ? 'main' : defaultBranch);
  if (ref === `refs/heads/${branch}`) return { kind: 'development', branch };
  return { kind: 'none', reason: `${ref === '' ? 'the ref is unknown' : ref}: no release, pull request or ${branch}` };
}

function releaseOf(tag: string): MatrixEvent {
  const version = parseSemanticVersion(tag);
  if (version === undefined) return { kind: 'none', reason: `the git tag ${tag} is no semantic version` };
  if (version.build.length > 0)
    throw new WorkerError('TAG_INVALID', `${tag}: no tag may hold what follows the +; two builds would share one`, {
      tag,
    });
  return { kind: 'release', version: version.version, prerelease: version.prerelease.length > 0 };
}

function assignmentsOf(config: MatrixConfig, event: MatrixEvent): readonly TagAssignment[] {
  const { defaultVariant, variants } = config;
  const perVariant = (role: TagRole, tagOf: (variant: string) => string): readonly TagAssignment[] =>
    variants.map((variant) => ({ tag: tagOf(variant), role, variant }));
  const ofDefault = (role: TagRole, tag: string): TagAssignment => ({ tag, role, variant: defaultVariant });
  switch (event.kind) {
    case 'none':
      return [];
    case 'release': {
      const { prerelease, version } = event;
      return [
        ...perVariant('precision', (variant) => `${version}-${variantTag(config, variant)}`),
        ...(prerelease ? [] : perVariant('variant', (variant) => variantTag(config, variant))),
        ofDefault('version', version),
        ...(prerelease ? [] : [ofDefault('latest', 'latest')]),
      ];
    }
    case 'development': {
      const tags = config.development ?? [event.branch.replaceAll(/[^A-Za-z0-9._-]+/g, '-'), 'dev'];
      return tags.map((tag) => ofDefault('development', tag));
    }
    case 'pull-request': {
      const name = `pr-${event.number}`;
      const others = perVariant('local', (variant) => `${name}-${variantTag(config, variant)}`);
      return [ofDefault('local', name), ...others.filter(({ variant }) => variant !== defaultVariant)];
    }
  }
}

function check(config: MatrixConfig, event: MatrixEvent, assignments: readonly TagAssignment[]): void {
  const problems = assignments.flatMap(({ tag, variant }) =>
    TAG.test(tag)
      ? []
      : [`${tag} (${variant}) is no tag: it begins with a letter, a digit or _ and has at most 128 characters`],
  );
  for (const tag of repeated(assignments.map((assignment) => assignment.tag))) {
    const same = assignments.filter((assignment) => assignment.tag === tag);
    const variants = [...new Set(same.map(({ variant }) => variant))];
    const roles = [...new Set(same.map(({ role }) => role))];
    if (variants.length > 1) problems.push(`${tag} would stand for the variants ${variants.join(' and ')}`);
    else if (roles.length > 1) problems.push(`${tag} would be the tag of a ${roles.join(' and of a ')}`);
  }
  if (event.kind === 'development')
    for (const { tag } of assignments) problems.push(...developmentProblems(config, tag));
  if (event.kind === 'release') {
    const variant = config.variants.find((each) => event.version.endsWith(`-${variantTag(config, each)}`));
    if (variant !== undefined)
      problems.push(`the version ${event.version} ends like the precision tags of ${variantTag(config, variant)}`);
  }
  if (problems.length > 0) throw new WorkerError('MATRIX_INVALID', problems.join('\n'), { problems: problems.length });
}

/** What a release's tags look like is no name for the newest build of a branch: it would rewrite them. */
function developmentProblems(config: MatrixConfig, tag: string): readonly string[] {
  const variant = config.variants.map((each) => variantTag(config, each)).find((name) => isOf(name, tag));
  if (tag === 'latest') return ['latest is the newest release; it cannot be a development tag'];
  if (/^v?\d+(\.\d+){0,2}$/.test(tag)) return [`${tag} is a version; it cannot be a development tag`];
  return variant === undefined ? [] : [`${tag} is a tag of releases with ${variant}; it cannot be a development tag`];
}

function isOf(variant: string, tag: string): boolean {
  return tag === variant || tag.endsWith(`-${variant}`);
}
