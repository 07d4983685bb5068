import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Digest } from '../../../src/digest/index.ts';
import { createRegistryClient, type RegistryClient, type Repository } from '../../../src/registry/index.ts';
import type { MemoryRepository } from './memory-repository.ts';

interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

const LAST_TAGGED = 'You cannot delete the last tagged version of a package. You must delete the package instead.';

/**
 * Stands for GitHub's packages API, as its documentation describes it, over a repository of a real registry. GitHub itself cannot be
 * reached from a test. What tags name is seen by itself; other manifests that are pushed later are told by `add`.
 */
export class PackagesServer implements AsyncDisposable {
  readonly address: string;
  readonly requests: { readonly method: string; readonly path: string; readonly authorization: string | undefined }[] =
    [];
  /** Takes the place of the next answer to a matching request. */
  readonly answers: { readonly match: RegExp; readonly answer: Answer }[] = [];
  pageSize = 3;
  /** How many lists still lack what was pushed since: GitHub's list lags behind its registry. */
  lag = 0;
  readonly #versions = new Map<number, Digest>();
  readonly #server: Server;
  readonly #owner: string;
  readonly #name: string;
  readonly #real: Repository;
  #nextId = 1000;

  private constructor(server: Server, port: number, repository: Repository, real: Repository) {
    this.#server = server;
    this.address = `http://127.0.0.1:${port}`;
    const [owner = '', ...rest] = repository.repository.split('/');
    this.#owner = owner;
    this.#name = encodeURIComponent(rest.join('/'));
    this.#real = real;
  }

  /** `real`: where manifests are really deleted; `repository`: as the person names it. */
  static async start(
    model: Pick<MemoryRepository, 'manifests'>,
    repository: Repository,
    real: Repository,
  ): Promise<PackagesServer> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const packages = new PackagesServer(server, address.port, repository, real);
    for (const digest of model.manifests.keys()) packages.add(digest);
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      void packages.#serve(request, response);
    });
    return packages;
  }

  add(digest: Digest): void {
    this.#versions.set(this.#nextId++, digest);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '' } = request;
    const url = new URL(request.url ?? '/', this.address);
    this.requests.push({ method, path: url.pathname, authorization: request.headers.authorization });
    const at = this.answers.findIndex(({ match }) => match.test(`${method} ${url.pathname}${url.search}`));
    const {
      body,
      headers = {},
      status,
    } = at === -1 ? await this.#answer(method, url) : (this.answers.splice(at, 1)[0]?.answer ?? { status: 500 });
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(body === undefined ? undefined : JSON.stringify(body));
  }

  async #answer(method: string, url: URL): Promise<Answer> {
    const base = `/users/${this.#owner}/packages/container/${this.#name}`;
    if (method === 'GET' && url.pathname === base) return { status: 200, body: { name: this.#name } };
    await using client = createRegistryClient();
    const tags = await this.#tagged(client);
    if (method === 'GET' && url.pathname === `${base}/versions`) return this.#page(url, tags);
    const [, id] = /\/versions\/(\d+)$/.exec(url.pathname) ?? [];
    const digest = this.#versions.get(Number(id));
    if (!url.pathname.startsWith(base) || digest === undefined) return { status: 404, body: { message: 'Not Found' } };
    if (method === 'GET') return { status: 200, body: { id: Number(id), name: digest } };
    if (tags.size === 1 && tags.has(digest)) return { status: 400, body: { message: LAST_TAGGED } };
    await client.deleteManifest(this.#real, digest, { signal: AbortSignal.timeout(10_000) });
    this.#versions.delete(Number(id));
    return { status: 204 };
  }

  /** The tags of each version; versions that came by a push get an id. */
  async #tagged(client: RegistryClient): Promise<ReadonlyMap<Digest, readonly string[]>> {
    const signal = AbortSignal.timeout(10_000);
    const tags = new Map<Digest, string[]>();
    for (const tag of await client.listTags(this.#real, { signal })) {
      const digest = (await client.headManifest(this.#real, tag, { signal }))?.digest;
      if (digest !== undefined) tags.set(digest, [...(tags.get(digest) ?? []), tag]);
    }
    const known = new Set(this.#versions.values());
    const pushed = [...tags.keys()].filter((digest) => !known.has(digest));
    if (pushed.length > 0 && this.lag-- <= 0) for (const digest of pushed) this.add(digest);
    return tags;
  }

  #page(url: URL, tags: ReadonlyMap<Digest, readonly string[]>): Answer {
    const page = Number(url.searchParams.get('page') ?? 1);
    const all = [...this.#versions].toReversed();
    const start = (page - 1) * this.pageSize;
    const next = new URL(url);
    next.searchParams.set('page', String(page + 1));
    return {
      status: 200,
      headers:
        start + this.pageSize < all.length ? { link: `<${next.href}>; rel="next", <${url.href}>; rel="last"` } : {},
      // Every second one without what is missing at times.
      body: all.slice(start, start + this.pageSize).map(([id, name]) => ({
        id,
        name,
        ...(id % 2 === 0 && {
          created_at: '2026-01-01T00:00:00Z',
          metadata: { container: { tags: tags.get(name) ?? [] } },
        }),
      })),
    };
  }
}
