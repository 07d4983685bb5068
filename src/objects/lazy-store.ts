import type { Cancelable } from '../errors/index.ts';
import type { Secret } from '../telemetry/index.ts';
import type {
  ListedObject,
  ObjectBody,
  ObjectInfo,
  ObjectRange,
  ObjectStore,
  PutOptions,
  StoreAccess,
} from './object-store.ts';

/** A store whose code is loaded with its first call: an SDK of a thousand files costs the commands that never need it. */
export class LazyStore implements ObjectStore {
  readonly url: string;
  readonly #open: () => Promise<ObjectStore>;
  #opened: Promise<ObjectStore> | undefined;

  constructor(url: string, open: () => Promise<ObjectStore>) {
    this.url = url;
    this.#open = open;
  }

  urlOf(key: string): string {
    return `${this.url}/${key}`;
  }

  async check(options: Cancelable): Promise<void> {
    await (await this.#store()).check(options);
  }

  async head(key: string, options: Cancelable): Promise<ObjectInfo | undefined> {
    return await (await this.#store()).head(key, options);
  }

  async get(key: string, options: Cancelable & { readonly range?: ObjectRange }): Promise<ObjectBody> {
    return await (await this.#store()).get(key, options);
  }

  async put(key: string, content: Uint8Array | string, options: PutOptions): Promise<{ readonly etag: string }> {
    return await (await this.#store()).put(key, content, options);
  }

  async putFile(key: string, path: string, options: PutOptions): Promise<{ readonly etag: string }> {
    return await (await this.#store()).putFile(key, path, options);
  }

  async *list(prefix: string, options: Cancelable): AsyncIterable<ListedObject> {
    yield* (await this.#store()).list(prefix, options);
  }

  async readAddress(key: string, options: Cancelable): Promise<Secret | undefined> {
    return await (await this.#store()).readAddress(key, options);
  }

  async access(options: Cancelable): Promise<StoreAccess> {
    return await (await this.#store()).access(options);
  }

  async dropUnfinished(begunBeforeMs: number, options: Cancelable): Promise<number> {
    return await (await this.#store()).dropUnfinished(begunBeforeMs, options);
  }

  async delete(key: string, options: Cancelable): Promise<void> {
    await (await this.#store()).delete(key, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const store = await this.#opened?.catch(() => undefined); // who called it has heard of it
    await store?.[Symbol.asyncDispose]();
  }

  #store(): Promise<ObjectStore> {
    this.#opened ??= this.#open();
    return this.#opened;
  }
}
