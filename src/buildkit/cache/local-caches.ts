import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parseDigest } from '../../digest/index.ts';
import { type Cancelable, messageOf, systemCodeOf, toWorkerError, WorkerError } from '../../errors/index.ts';
import { OciLayout } from '../../oci/index.ts';
import type { BuildRequest, CacheSpec } from '../build-request.ts';
import { parseDescriptor } from '../build-result.ts';

/** What the exporter answers with, beside what it says of the image (BuildKit cache/remotecache, "export.go"). */
const MANIFEST_KEY = 'cache.manifest';
/** The name docker gives a cache in its directory when nobody names it. */
const DEFAULT_TAG = 'latest';

/** A cache that is written to a directory of this machine. */
interface CacheExport {
  readonly layout: OciLayout;
  readonly tag: string;
}

/**
 * Caches of type `local`: OCI layouts on this machine that the daemon writes and reads through the session's content store.
 * The daemon never sees a path: each cache has a store id of its own, which may be sent as a header whatever the path holds.
 */
export class LocalCaches implements AsyncDisposable {
  /** As the daemon is told. */
  readonly cacheFrom: CacheSpec[] = [];
  readonly cacheTo: CacheSpec[] = [];
  readonly #exports = new Map<string, CacheExport>();
  readonly #imports = new Map<string, OciLayout>();
  readonly #locks = new AsyncDisposableStack();

  /**
   * Opens what the request names. Throws USAGE, PATH_NOT_FOUND and LAYOUT_NOT_FOUND for a cache that is not there,
   * OUTPUT_EXISTS, LAYOUT_INVALID, LAYOUT_LOCKED.
   */
  static async open(
    { cacheFrom = [], cacheTo = [] }: Pick<BuildRequest, 'cacheFrom' | 'cacheTo'>,
    { signal }: Cancelable,
  ): Promise<LocalCaches> {
    const caches = new LocalCaches();
    try {
      for (const spec of cacheFrom) caches.cacheFrom.push(await caches.#openImport(spec, { signal }));
      for (const spec of cacheTo) caches.cacheTo.push(await caches.#openExport(spec, { signal }));
      return caches;
    } catch (thrown) {
      await caches[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#locks.disposeAsync();
  }

  /** Layouts by store id: those the daemon writes to. */
  get writable(): ReadonlyMap<string, OciLayout> {
    return new Map([...this.#exports].map(([id, { layout }]) => [id, layout]));
  }

  /** Those it reads from. */
  get readable(): ReadonlyMap<string, OciLayout> {
    return this.#imports;
  }

  /** Names what was exported, once it is all there. Throws BUILDKIT_PROTOCOL. */
  async finish(exporterResponse: Readonly<Record<string, string>>, { signal }: Cancelable): Promise<void> {
    const text = exporterResponse[MANIFEST_KEY];
    if (text === undefined) return; // nothing was there to cache
    const descriptor = parseDescriptor(text, 'the cache');
    for (const { layout, tag } of this.#exports.values()) {
      if (!(await layout.hasBlob(descriptor)))
        throw new WorkerError(
          'BUILDKIT_PROTOCOL',
          `buildkitd exported the cache ${descriptor.digest}, and ${layout.directory} has another; give one --cache-to`,
        );
      await layout.setTag(tag, descriptor, { signal });
    }
  }

  async #openImport(spec: CacheSpec, { signal }: Cancelable): Promise<CacheSpec> {
    if (spec.type !== 'local') return spec;
    const { src, tag = DEFAULT_TAG, digest, ...attrs } = spec.attrs;
    const directory = directoryOf(src, '--cache-from type=local', 'src=DIR');
    if ((await kindOf(directory)) !== 'directory')
      throw new WorkerError('PATH_NOT_FOUND', `--cache-from type=local: ${directory} is no folder`);
    const layout = await OciLayout.open(directory, { signal });
    const wanted = digest === undefined ? (await layout.resolve(tag)).digest : parseDigest(digest);
    const id = `import-${this.#imports.size}`;
    this.#imports.set(`local:${id}`, layout);
    return { type: 'local', attrs: { ...attrs, src: id, digest: wanted } };
  }

  async #openExport(spec: CacheSpec, { signal }: Cancelable): Promise<CacheSpec> {
    if (spec.type !== 'local') return spec;
    const { dest, tag = DEFAULT_TAG, ...attrs } = spec.attrs;
    const directory = directoryOf(dest, '--cache-to type=local', 'dest=DIR');
    if ((await kindOf(directory)) === 'other')
      throw new WorkerError('OUTPUT_EXISTS', `--cache-to type=local: ${directory} is no folder`);
    const layout = await OciLayout.open(directory, { create: true, signal });
    this.#locks.use(await layout.lock({ signal }));
    const id = `export-${this.#exports.size}`;
    this.#exports.set(`local:${id}`, { layout, tag });
    return { type: 'local', attrs: { ...attrs, dest: id } };
  }
}

function directoryOf(path: string | undefined, flag: string, form: string): string {
  if (path === undefined || path === '' || path.includes('\0'))
    throw new WorkerError('USAGE', `${flag}: write ${form}`);
  return resolve(path);
}

async function kindOf(path: string): Promise<'directory' | 'other' | undefined> {
  try {
    return (await stat(path)).isDirectory() ? 'directory' : 'other';
  } catch (thrown) {
    if (systemCodeOf(thrown) === 'ENOENT') return undefined;
    if (systemCodeOf(thrown) === 'ENOTDIR') return 'other';
    throw toWorkerError(thrown, `look at ${path}: ${messageOf(thrown)}`);
  }
}
