import type { RegistryClient, Repository } from '../../registry/index.ts';
import { type GhcrStore, ghcrStore, type PackagesApiOptions } from '../../release/index.ts';

export interface GithubPackagesOptions {
  readonly client: RegistryClient;
  /** The registry whose images are packages of GitHub: `ghcr.io`. */
  readonly registry: string;
  readonly api: PackagesApiOptions;
}

/** GitHub's packages API for all images of one registry. Dispose of it to close its connections. */
export class GithubPackages implements AsyncDisposable {
  readonly #options: GithubPackagesOptions;
  readonly #stores = new Map<string, GhcrStore>();
  readonly #stack = new AsyncDisposableStack();

  constructor(options: GithubPackagesOptions) {
    this.#options = options;
  }

  /** undefined: the image lies in another registry. Throws CONFIG_INVALID, REGISTRY_INSECURE. */
  storeOf(image: Repository): GhcrStore | undefined {
    const { api, client, registry } = this.#options;
    if (image.registry !== registry) return undefined;
    const known = this.#stores.get(image.repository);
    if (known !== undefined) return known;
    const store = this.#stack.use(ghcrStore(client, image, api));
    this.#stores.set(image.repository, store);
    return store;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}
