import { z } from 'zod';
import { type Digest, isDigest } from '../../digest/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import type { DeleteOutcome, RegistryClient, Repository } from '../../registry/index.ts';
import type { ListedManifest } from '../inventory/index.ts';
import { deleteByMark, type RepositoryStore, registryStore } from '../retention/index.ts';
import { messageIn, PackagesApi, type PackagesApiOptions } from './packages-api.ts';

/** A "package version": every manifest is one, children and attestations too. What may be missing is missing at times. */
const VersionSchema = z.object({
  id: z.number().int(),
  /** The digest. */
  name: z.string(),
  created_at: z.string().nullish(),
  updated_at: z.string().nullish(),
});
const PAGE_SIZE = 100;
const MAX_PAGES = 10_000;

/**
 * A repository of GHCR: read through the registry API, listed and deleted through the packages API, which sees untagged manifests
 * and is the only one that deletes. Dispose of it to close its connections.
 */
export function ghcrStore(
  client: RegistryClient,
  repository: Repository,
  options: PackagesApiOptions,
): RepositoryStore & AsyncDisposable {
  const api = new PackagesApi(options);
  const versions = new PackageVersions(api, repository);
  const deleteManifest = async (digest: Digest, { signal }: Cancelable) => await versions.delete(digest, { signal });
  return {
    ...registryStore(client, repository),
    listManifests: ({ signal }) => versions.list({ signal }),
    deleteManifest,
    // The packages API knows no tags: deleting a version takes them all.
    deleteTag: (tag, digest, { signal }) => deleteByMark(client, repository, { tag, digest, signal, deleteManifest }),
    [Symbol.asyncDispose]: () => api[Symbol.asyncDispose](),
  };
}

class PackageVersions {
  readonly #api: PackagesApi;
  readonly #repository: Repository;
  readonly #ids = new Map<Digest, number>();
  #path: string | undefined;

  constructor(api: PackagesApi, repository: Repository) {
    this.#api = api;
    this.#repository = repository;
  }

  /** All, or an error. Throws REGISTRY_LIST_INCOMPLETE, REGISTRY_PROTOCOL. */
  async list({ signal }: Cancelable): Promise<readonly ListedManifest[]> {
    const path = await this.#packagePath({ signal });
    const found = new Map<Digest, ListedManifest>();
    const seen = new Set<string>();
    let url: URL | undefined = this.#api.urlOf(`${path}/versions?per_page=${PAGE_SIZE}`);
    for (let pages = 0; url !== undefined; pages++) {
      if (seen.has(url.href) || pages >= MAX_PAGES)
        throw new WorkerError('REGISTRY_LIST_INCOMPLETE', `${path}: the list of versions does not end`);
      seen.add(url.href);
      const { json, next } = await this.#api.send('GET', url, { expect: [200], signal });
      for (const { id, listed } of versionsIn(json, path)) {
        found.set(listed.digest, listed);
        this.#ids.set(listed.digest, id);
      }
      url = next;
    }
    return [...found.values()];
  }

  async delete(digest: Digest, { signal }: Cancelable): Promise<DeleteOutcome> {
    if (!this.#ids.has(digest)) await this.list({ signal });
    const id = this.#ids.get(digest);
    if (id === undefined) return 'absent';
    const path = await this.#packagePath({ signal });
    const url = this.#api.urlOf(`${path}/versions/${id}`);
    const { json, status } = await this.#api.send('DELETE', url, { expect: [204, 404, 400, 422], signal });
    if (status === 404) return 'absent';
    if (status === 204) return 'deleted';
    throw new WorkerError('PACKAGE_DELETE_REFUSED', `${digest} was not deleted: ${sayPlainly(messageIn(json))}`, {
      digest,
      status,
    });
  }

  /** An owner is an organization or a person, which the name does not tell. */
  async #packagePath({ signal }: Cancelable): Promise<string> {
    if (this.#path !== undefined) return this.#path;
    const [owner = '', ...rest] = this.#repository.repository.split('/');
    const name = encodeURIComponent(rest.join('/'));
    for (const kind of ['orgs', 'users']) {
      const path = `/${kind}/${encodeURIComponent(owner)}/packages/container/${name}`;
      const { status } = await this.#api.send('GET', this.#api.urlOf(path), { expect: [200, 404], signal });
      if (status !== 200) continue;
      this.#path = path;
      return path;
    }
    throw new WorkerError(
      'REGISTRY_NOT_FOUND',
      `the packages API knows no container package ${rest.join('/')} of ${owner}, or the token may not see it (read:packages)`,
    );
  }
}

function versionsIn(json: unknown, path: string): readonly { readonly id: number; readonly listed: ListedManifest }[] {
  const parsed = z.array(VersionSchema).safeParse(json);
  if (!parsed.success) throw new WorkerError('REGISTRY_PROTOCOL', `${path}: the answer is no list of versions`);
  return parsed.data.map(({ created_at, id, name, updated_at }) => {
    if (!isDigest(name)) throw new WorkerError('REGISTRY_PROTOCOL', `${path}: version ${id} has no digest for a name`);
    const times = [created_at, updated_at].map((text) => Date.parse(text ?? '')).filter((ms) => !Number.isNaN(ms));
    return { id, listed: { digest: name, pushedMs: times.length === 0 ? undefined : Math.max(...times) } };
  });
}

function sayPlainly(message: string): string {
  if (/last (?:tagged )?version/i.test(message))
    return `it is the last version with a tag, which GitHub deletes only with the whole package (${message})`;
  if (/5,?000 downloads/i.test(message))
    return `GitHub keeps public versions with more than 5000 downloads; its support can delete them (${message})`;
  return message || 'GitHub does not say why';
}
