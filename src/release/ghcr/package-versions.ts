import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { type Digest, isDigest } from '../../digest/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import type { DeleteOutcome, Repository } from '../../registry/index.ts';
import type { ListedManifest } from '../inventory/index.ts';
import { messageIn, type PackagesApi } from './packages-api.ts';

/** A "package version": every manifest is one, children and attestations too. What may be missing is missing at times. */
const VersionSchema = z.object({
  id: z.number().int(),
  /** The digest. */
  name: z.string(),
  created_at: z.string().nullish(),
  updated_at: z.string().nullish(),
});

interface PackageVersion {
  readonly id: number;
  readonly listed: ListedManifest;
}

const PAGE_SIZE = 100;
const MAX_PAGES = 10_000;
/** The list lags behind the registry: what was pushed just now is asked for again after these pauses. */
const LAG_PAUSES_MS = [250, 500, 1000, 2000] as const;

/** The versions of one container package, with the ids by which they are deleted. */
export class PackageVersions {
  readonly #api: PackagesApi;
  readonly #repository: Repository;
  readonly #ids = new Map<Digest, number>();
  #path: string | undefined;

  constructor(api: PackagesApi, repository: Repository) {
    this.#api = api;
    this.#repository = repository;
  }

  /** All, or an error. Throws REGISTRY_NOT_FOUND, REGISTRY_LIST_INCOMPLETE, REGISTRY_PROTOCOL. */
  async list({ signal }: Cancelable): Promise<readonly ListedManifest[]> {
    const found = new Map<Digest, ListedManifest>();
    for await (const { listed } of this.#versions({ signal })) found.set(listed.digest, listed);
    return [...found.values()];
  }

  /** When each was pushed, as far as GitHub tells. Reads no further than it must. Throws as `list`. */
  async pushTimes(digests: Iterable<Digest>, { signal }: Cancelable): Promise<ReadonlyMap<Digest, number>> {
    const wanted = new Set(digests);
    const times = new Map<Digest, number>();
    for await (const { listed } of this.#versions({ signal })) {
      if (wanted.delete(listed.digest) && listed.pushedMs !== undefined) times.set(listed.digest, listed.pushedMs);
      if (wanted.size === 0) break;
    }
    return times;
  }

  /** `absent`: there is no such version. Throws PACKAGE_DELETE_REFUSED, REGISTRY_DENIED. */
  async delete(digest: Digest, { signal }: Cancelable): Promise<DeleteOutcome> {
    const id = await this.#idOf(digest, { signal });
    return id === undefined ? 'absent' : await this.#deleteById(id, digest, { signal });
  }

  /** Deletes what was pushed just now, which the list may not have yet. Throws PACKAGE_DELETE_REFUSED, REGISTRY_DENIED. */
  async deletePushed(digest: Digest, { signal }: Cancelable): Promise<DeleteOutcome> {
    for (const pauseMs of [0, ...LAG_PAUSES_MS]) {
      if (pauseMs > 0) await pause(pauseMs, { signal });
      const id = await this.#idOf(digest, { signal });
      if (id !== undefined) return await this.#deleteById(id, digest, { signal });
    }
    throw new WorkerError(
      'PACKAGE_DELETE_REFUSED',
      `${digest} was not deleted: the packages API does not list what was just pushed; try again later`,
      { digest },
    );
  }

  /** The newest come first, so what was pushed just now is found on the first page. */
  async #idOf(digest: Digest, { signal }: Cancelable): Promise<number | undefined> {
    if (!this.#ids.has(digest))
      for await (const { listed } of this.#versions({ signal })) if (listed.digest === digest) break;
    return this.#ids.get(digest);
  }

  async #deleteById(id: number, digest: Digest, { signal }: Cancelable): Promise<DeleteOutcome> {
    const url = this.#api.urlOf(`${await this.#packagePath({ signal })}/versions/${id}`);
    const { json, status } = await this.#api.send('DELETE', url, { expect: [204, 404, 400, 422], signal });
    if (status === 204) return 'deleted';
    if (status === 404) return await this.#absentOrDenied(url, digest, { signal });
    throw new WorkerError('PACKAGE_DELETE_REFUSED', `${digest} was not deleted: ${sayPlainly(messageIn(json))}`, {
      digest,
      status,
    });
  }

  /** GitHub hides what a token may not do behind 404: a version that can still be read is not gone. */
  async #absentOrDenied(url: URL, digest: Digest, { signal }: Cancelable): Promise<DeleteOutcome> {
    const { status } = await this.#api.send('GET', url, { expect: [200, 404], signal });
    if (status === 404) return 'absent';
    throw new WorkerError(
      'REGISTRY_DENIED',
      `${digest} was not deleted: the token may not delete this package (delete:packages, and admin of the package)`,
      { digest, status: 404 },
    );
  }

  async *#versions({ signal }: Cancelable): AsyncGenerator<PackageVersion> {
    const path = await this.#packagePath({ signal });
    const seen = new Set<string>();
    let url: URL | undefined = this.#api.urlOf(`${path}/versions?per_page=${PAGE_SIZE}`);
    for (let pages = 0; url !== undefined; pages++) {
      if (seen.has(url.href) || pages >= MAX_PAGES)
        throw new WorkerError('REGISTRY_LIST_INCOMPLETE', `${path}: the list of versions does not end`);
      seen.add(url.href);
      const { json, next } = await this.#api.send('GET', url, { expect: [200], signal });
      const versions = versionsIn(json, path);
      for (const { id, listed } of versions) this.#ids.set(listed.digest, id);
      yield* versions;
      url = next;
    }
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

async function pause(ms: number, { signal }: Cancelable): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {
    signal.throwIfAborted();
  });
}

function versionsIn(json: unknown, path: string): readonly PackageVersion[] {
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
