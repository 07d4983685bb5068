import { type Digest, isDigest } from '../digest/index.ts';
import { WorkerError } from '../errors/index.ts';

/** A repository of a registry: what blobs and manifests are addressed in. */
export interface Repository {
  /** `host[:port]`, as the person writes it (`docker.io`, `127.0.0.1:5000`, `[::1]:5000`). */
  readonly registry: string;
  /** `name/name`, without the host (distribution-spec 1.1, "Pulling manifests"). */
  readonly repository: string;
}

/** An image: a repository and what in it. With both, the digest counts and the tag is for people. */
export interface Reference extends Repository {
  readonly tag?: string;
  readonly digest?: Digest;
}

const HOST =
  /^(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*)(?::[0-9]{1,5})?$/;
const COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const REPOSITORY = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`);
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
/** Docker's rule: host and name together. */
const MAX_NAME_LENGTH = 255;
const DOCKER_HUB = 'docker.io';

/** `[registry/]repository[:tag][@digest]`, with Docker's defaults for what is left out. Throws REFERENCE_INVALID. */
export function parseReference(text: string): Reference {
  const [name, digest, ...rest] = text.split('@');
  if (name === undefined || rest.length > 0) throw invalid(text, 'more than one @');
  if (digest !== undefined && !isDigest(digest)) throw invalid(text, 'what follows the @ is no sha256 digest');
  const colon = name.lastIndexOf(':');
  const hasTag = colon > name.lastIndexOf('/');
  const tag = hasTag ? name.slice(colon + 1) : undefined;
  if (tag !== undefined && !TAG.test(tag)) throw invalid(text, `no tag: ${tag}`);
  const { registry, repository } = splitHost(hasTag ? name.slice(0, colon) : name);
  if (!HOST.test(registry)) throw invalid(text, `no host: ${registry}`);
  if (!REPOSITORY.test(repository))
    throw invalid(text, `no repository name (lower case, no empty parts): ${repository}`);
  if (registry.length + 1 + repository.length > MAX_NAME_LENGTH)
    throw invalid(text, `longer than ${MAX_NAME_LENGTH} characters`);
  return { registry, repository, ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) };
}

/** Whether a text may be a tag (distribution-spec 1.1, "Pulling manifests"). */
export function isTag(text: string): boolean {
  return TAG.test(text);
}

/** The text form that `parseReference` reads back to the same reference. */
export function formatReference({ registry, repository, tag, digest }: Reference): string {
  return `${registry}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

/** What a manifest is asked for by: the digest, else the tag, else `latest`. */
export function manifestNameOf({ tag, digest }: Reference): string {
  return digest ?? tag ?? 'latest';
}

/** The first part is a host when it cannot be a name: it has a dot, a colon or is `localhost`. */
function splitHost(name: string): Repository {
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  if (slash < 0 || !(/[.:]/.test(first) || first === 'localhost')) return hub(name);
  return first === DOCKER_HUB || first === 'index.docker.io'
    ? hub(name.slice(slash + 1))
    : { registry: first, repository: name.slice(slash + 1) };
}

function hub(repository: string): Repository {
  return { registry: DOCKER_HUB, repository: repository.includes('/') ? repository : `library/${repository}` };
}

function invalid(text: string, why: string): WorkerError {
  return new WorkerError('REFERENCE_INVALID', `no image reference: ${JSON.stringify(text.slice(0, 300))}: ${why}`);
}
