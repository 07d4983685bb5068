import { WorkerError } from '../../errors/index.ts';
import { parseReference, type Repository } from '../../registry/index.ts';

/** What a release is called by: the parts of its repository's name. */
export interface ReleaseName {
  /** `host[:port]`, maybe with a path. */
  readonly registry: string;
  readonly owner: string;
  readonly domain: string;
  readonly app: string;
}

/**
 * `<registry>/<owner>/<domain>-<app>`: `ghcr.io/owner/demo-hello_python`. The owner is lowercased, as accounts have capitals
 * and repositories must not. Throws RELEASE_NAME_INVALID.
 */
export function releaseRepository({ app, domain, owner, registry }: ReleaseName): Repository {
  const parts = { app, domain, owner, registry };
  for (const [part, value] of Object.entries(parts))
    if (value === '' || (part !== 'registry' && value.includes('/')))
      throw new WorkerError('RELEASE_NAME_INVALID', `no ${part} of a release: ${JSON.stringify(value)}`, { part });
  const text = `${registry}/${owner.toLowerCase()}/${domain}-${app}`;
  try {
    const { registry: host, repository, tag, digest } = parseReference(text);
    if (tag !== undefined || digest !== undefined || `${host}/${repository}` !== text)
      throw new WorkerError('RELEASE_NAME_INVALID', `${text} is no repository: host, owner, domain-app`);
    return { registry: host, repository };
  } catch (cause) {
    if (cause instanceof WorkerError && cause.code === 'RELEASE_NAME_INVALID') throw cause;
    throw new WorkerError('RELEASE_NAME_INVALID', `${text} is no repository`, {}, { cause });
  }
}

const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;

/** A version is its own tag, `v` included; `+` is no letter of tags. Throws RELEASE_TAG_INVALID. */
export function requireVersionTag(version: string): string {
  const why =
    version === 'latest'
      ? 'latest moves, a version does not'
      : version.includes('+')
        ? 'a tag cannot hold +, and - in its place would read back as a prerelease'
        : TAG.test(version)
          ? undefined
          : 'a tag is [A-Za-z0-9_][A-Za-z0-9._-]{0,127}';
  if (why !== undefined) throw new WorkerError('RELEASE_TAG_INVALID', `version ${JSON.stringify(version)}: ${why}`);
  return version;
}

/** The commit as it was given, short or whole: its image has this tag. Throws RELEASE_TAG_INVALID. */
export function requireCommitTag(commit: string): string {
  if (!TAG.test(commit)) throw new WorkerError('RELEASE_TAG_INVALID', `commit ${JSON.stringify(commit)} is no tag`);
  return commit;
}
