import { z } from 'zod';
import type { BuildkitResult } from '../buildkit/index.ts';
import { type Digest, isDigest } from '../digest/index.ts';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import type { OciLayout } from '../oci/index.ts';
import type { BuildJournal } from './build-journal.ts';
import { readImages } from './landing.ts';

/** What `landed` holds: the image that lies in the landing layout of the machine that wrote it. */
const Landed = z.object({
  digest: z.string().refine((text): text is Digest => isDigest(text), 'not a digest'),
  baseReferences: z.array(z.string()),
  cachedSteps: z.int(),
  steps: z.int(),
});

/**
 * The image that an earlier attempt landed, where all of it still lies here: its steps need not run again, which also gives
 * a build without cache the layers that may be staged already. undefined: BuildKit is asked.
 */
export async function landedBefore(
  landing: OciLayout,
  journal: BuildJournal | undefined,
  { signal }: Cancelable,
): Promise<BuildkitResult | undefined> {
  const known = Landed.safeParse(journal?.read('landed').at(-1)).data;
  if (known === undefined) return undefined;
  try {
    const descriptor = await landing.resolve('latest');
    if (descriptor.digest !== known.digest) return undefined;
    for (const { manifest } of await readImages(landing, descriptor, { signal })) {
      for (const layer of manifest.layers) if (!(await landing.hasBlob(layer))) return undefined;
    }
    const { baseReferences, cachedSteps, steps } = known;
    return { descriptor, exporterResponse: {}, blobs: [], baseReferences, cachedSteps, steps };
  } catch (thrown) {
    // An empty or damaged layout: the daemon gives the image again.
    if (thrown instanceof WorkerError && thrown.category !== 'canceled') return undefined;
    throw thrown;
  }
}

export async function journalLanded(
  journal: BuildJournal | undefined,
  { baseReferences, cachedSteps, descriptor: { digest }, steps }: BuildkitResult,
): Promise<void> {
  await journal?.write('landed', { digest, baseReferences, cachedSteps, steps });
}
