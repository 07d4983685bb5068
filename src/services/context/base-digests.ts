import pLimit from 'p-limit';
import { baseReferences } from '../../buildkit/index.ts';
import { type Cancelable, toWorkerError } from '../../errors/index.ts';
import { manifestNameOf, parseReference, type RegistryClient } from '../../registry/index.ts';

export interface BaseDigests {
  /** By the name that the Dockerfile has; undefined where no digest could be had. */
  readonly bases: Readonly<Record<string, string | undefined>>;
  /** Why some are not known; while there are any, an image cannot be told to be up to date. */
  readonly unknown: readonly string[];
}

/** Base images asked for at once. */
const WIDTH = 4;

/** The digests that the images a Dockerfile names have now. A registry that does not answer fails nothing. */
export async function baseDigests(
  dockerfile: Uint8Array,
  args: Readonly<Record<string, string>>,
  { client, signal }: Cancelable & { readonly client: Pick<RegistryClient, 'headManifest'> },
): Promise<BaseDigests> {
  const named = baseReferences(Buffer.from(dockerfile).toString(), { buildArgs: args, namedContexts: [] });
  const unknown = named.unknown.map((word) => `${word}: it cannot be known before the build`);
  const limit = pLimit(WIDTH);
  const found = await Promise.all(
    named.references.map((text) =>
      limit(async (): Promise<readonly [string, string | undefined]> => {
        try {
          const reference = parseReference(text);
          const digest =
            reference.digest ?? (await client.headManifest(reference, manifestNameOf(reference), { signal }))?.digest;
          if (digest === undefined) unknown.push(`${text}: the registry has none`);
          return [text, digest];
        } catch (thrown) {
          signal.throwIfAborted();
          unknown.push(`${text}: ${toWorkerError(thrown, 'look it up').message}`);
          return [text, undefined];
        }
      }),
    ),
  );
  return { bases: Object.fromEntries(found), unknown };
}
