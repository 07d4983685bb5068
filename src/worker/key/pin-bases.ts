import { type Cancelable, toWorkerError } from '../../errors/index.ts';
import {
  isIndexType,
  localPlatform,
  parseIndex,
  parseManifest,
  parsePlatform,
  selectPlatform,
} from '../../oci/index.ts';
import { formatReference, parseReference, type Reference, type RegistryClient } from '../../registry/index.ts';
import type { Log } from '../../telemetry/index.ts';

export interface PinContext extends Cancelable {
  readonly client: RegistryClient;
  readonly log: Log;
  /** For everything together; what is not known then stays unpinned. */
  readonly timeoutMs: number;
  /** Of the build; the first one's layers are its bases. */
  readonly platforms: readonly string[];
}

export interface Pins {
  /** By the whole reference with its tag. */
  readonly pinned: Readonly<Record<string, string>>;
  /** Digests of the layers of all bases: a worker that has them is warm. */
  readonly baseLayers: readonly string[];
  /** References whose digest could not be had: a build of them is only as old as itself. */
  readonly open: readonly string[];
}

/** Base images asked at once. */
const WIDTH = 4;

/**
 * Asks registries once which digests tags have now. One that does not answer, or not to us, fails nothing: BuildKit may know
 * another way to it, or need it for no stage of the target.
 */
export async function pinBases(references: readonly string[], context: PinContext): Promise<Pins> {
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(context.timeoutMs)]);
  const pinned: Record<string, string> = {};
  const baseLayers = new Set<string>();
  const open: string[] = [];
  const waiting = [...new Set(references)];
  const work = async () => {
    for (let text = waiting.pop(); text !== undefined; text = waiting.pop()) {
      try {
        const { registry, repository, tag, digest } = parseReference(text);
        const reference: Reference = {
          registry,
          repository,
          tag: tag ?? 'latest',
          ...(digest !== undefined && { digest }),
        };
        const manifest = await context.client.resolve(reference, { signal });
        if (digest === undefined) pinned[formatReference(reference)] = manifest.digest;
        for (const layer of await layersOf(reference, manifest, { ...context, signal })) baseLayers.add(layer);
      } catch (thrown) {
        context.signal.throwIfAborted();
        const { code, message } = toWorkerError(thrown, `resolve ${text}`);
        context.log.warn({ reference: text, code, reason: message }, 'a base image stays unpinned');
        open.push(text);
      }
    }
  };
  await Promise.all(Array.from({ length: WIDTH }, work));
  return { pinned: sorted(pinned), baseLayers: [...baseLayers].toSorted(), open: open.toSorted() };
}

async function layersOf(
  reference: Reference,
  manifest: { readonly bytes: Uint8Array; readonly mediaType: string },
  { client, platforms, signal }: PinContext,
): Promise<readonly string[]> {
  if (!isIndexType(manifest.mediaType)) return parseManifest(manifest.bytes).layers.map(({ digest }) => digest);
  const [first] = platforms;
  const platform = first === undefined ? localPlatform() : parsePlatform(first);
  const chosen = selectPlatform(parseIndex(manifest.bytes), platform);
  const { bytes } = await client.getManifest(reference, chosen.digest, { signal });
  return parseManifest(bytes).layers.map(({ digest }) => digest);
}

function sorted(pinned: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(pinned).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
