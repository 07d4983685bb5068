import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import {
  type BuildEvent,
  type BuildkitClient,
  type BuildkitResult,
  type BuildOptions,
  type BuildRequest,
  connectBuildkit,
} from '../../../src/buildkit/index.ts';
import { WorkerError } from '../../../src/errors/index.ts';
import {
  MAX_CONFIG_BYTES,
  MAX_MANIFEST_BYTES,
  OciLayout,
  parseImageConfig,
  parseManifest,
} from '../../../src/oci/index.ts';
import { silentLog } from '../../../src/telemetry/index.ts';
import { serviceSetting } from '../../support/services.ts';

const execute = promisify(execFile);
/** In the C locale, so that names that are not ASCII are escaped everywhere alike. */
const tar = (args: readonly string[]) =>
  execute('tar', args, { env: { ...process.env, LC_ALL: 'C' }, maxBuffer: 1 << 26 });

/** A text that no earlier build can have seen. */
export const fresh = (): string => randomUUID();

export function connect(
  overrides: { readonly address?: string; readonly contentDir?: string } = {},
): Promise<BuildkitClient> {
  return connectBuildkit({
    address: serviceSetting('CLIPYARD_BUILDKIT'),
    contentDir: serviceSetting('CLIPYARD_BUILDKIT_CONTENT'),
    log: silentLog(),
    signal: AbortSignal.timeout(20_000),
    ...overrides,
  });
}

/** A place for one test's contexts and layouts, on the file system of the daemon, so that links can work. */
export class Workplace implements AsyncDisposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async open(): Promise<Workplace> {
    const parent = join(serviceSetting('CLIPYARD_STATE'), 'tmp');
    await mkdir(parent, { recursive: true });
    return new Workplace(await mkdtemp(join(parent, 'buildkit-test-')));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }

  /** A context of these files; `busybox` is in every one, for steps to run. */
  async context(files: Readonly<Record<string, string>>, name = 'context'): Promise<string> {
    const directory = join(this.path, name);
    await mkdir(directory, { recursive: true });
    await copyFile('/bin/busybox', join(directory, 'busybox'));
    await chmod(join(directory, 'busybox'), 0o755);
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(join(directory, path)), { recursive: true });
      await writeFile(join(directory, path), content);
    }
    return directory;
  }

  layout(name = 'landing'): Promise<OciLayout> {
    return OciLayout.open(join(this.path, name), { create: true, signal: AbortSignal.timeout(20_000) });
  }
}

export const BASE = 'FROM scratch\nCOPY busybox /bin/busybox\n';

/** A RUN that works in an image with nothing but busybox. */
export function runStep(script: string, flags = ''): string {
  return `RUN ${flags} ${JSON.stringify(['/bin/busybox', 'sh', '-c', script])}\n`;
}

export interface Built {
  readonly result: BuildkitResult;
  readonly events: readonly BuildEvent[];
  readonly image: LandedImage;
}

/** Builds into a layout of its own and reads what landed. */
export async function build(
  client: BuildkitClient,
  place: Workplace,
  request: BuildRequest,
  options: Partial<BuildOptions> = {},
): Promise<Built> {
  const layout = await place.layout(`landing-${fresh()}`);
  const events: BuildEvent[] = [];
  const onEvent = (event: BuildEvent) => events.push(event);
  const result = await client.build(request, {
    landing: layout,
    signal: AbortSignal.timeout(100_000),
    onEvent,
    ...options,
  });
  return { result, events, image: new LandedImage(layout, result) };
}

/** The error of a build that must fail. */
export async function failureOf(work: Promise<unknown>): Promise<WorkerError> {
  try {
    await work;
  } catch (thrown) {
    if (thrown instanceof WorkerError) return thrown;
    throw thrown;
  }
  throw new Error('the build did not fail');
}

/** The image of a build as it lies in its landing layout. */
export class LandedImage {
  readonly layout: OciLayout;
  readonly #result: BuildkitResult;
  readonly #signal = AbortSignal.timeout(60_000);

  constructor(layout: OciLayout, result: BuildkitResult) {
    this.layout = layout;
    this.#result = result;
  }

  async manifest() {
    return parseManifest(
      await this.layout.readBlob(this.#result.descriptor, { maxBytes: MAX_MANIFEST_BYTES, signal: this.#signal }),
    );
  }

  async config() {
    const { config } = await this.manifest();
    return parseImageConfig(await this.layout.readBlob(config, { maxBytes: MAX_CONFIG_BYTES, signal: this.#signal }));
  }

  /** Lines of `tar --list --verbose` of the layer at that place (-1: the last), with names escaped. */
  async layerListing(at = -1): Promise<readonly string[]> {
    const { stdout } = await tar([
      '-tvf',
      await this.#layerPath(at),
      '--numeric-owner',
      '--full-time',
      '--quoting-style=escape',
    ]);
    return stdout.split('\n').filter((line) => line !== '');
  }

  /** Names in the layer. */
  async layerNames(at = -1): Promise<readonly string[]> {
    const { stdout } = await tar(['-tf', await this.#layerPath(at), '--quoting-style=escape']);
    return stdout.split('\n').filter((line) => line !== '');
  }

  async fileText(name: string, at = -1): Promise<string> {
    const { stdout } = await tar(['-xOf', await this.#layerPath(at), name]);
    return stdout;
  }

  async #layerPath(at: number): Promise<string> {
    const layer = (await this.manifest()).layers.at(at);
    if (layer === undefined) throw new Error(`no layer ${at}`);
    return this.layout.blobPath(layer.digest);
  }
}

/** Syncs of a tree that the events tell of, without the probe for a `.dockerignore`. */
export function syncsOf(events: readonly BuildEvent[], name: string) {
  return events.flatMap((event) => (event.type === 'context-synced' && event.name === name ? [event] : []));
}

/** What was sent of the context in all. */
export function sentOf(events: readonly BuildEvent[], name = 'context') {
  const syncs = syncsOf(events, name);
  return {
    files: syncs.reduce((sum, { filesSent }) => sum + filesSent, 0),
    bytes: syncs.reduce((sum, { bytesSent }) => sum + bytesSent, 0),
  };
}

/** Processes of this machine whose arguments hold the text. */
export function processesWith(text: string): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(text);
      } catch {
        return false; // it ended meanwhile
      }
    })
    .map(Number);
}

export async function until(what: string, condition: () => boolean, timeoutMs = 30_000): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`it did not come true in ${timeoutMs} ms: ${what}`);
    await sleep(20);
  }
}
