import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type Digest, isDigest } from '../../digest/index.ts';
import { writeFileAtomically } from '../../files/index.ts';
import type { Repository } from '../../registry/index.ts';
import type { LocalImage } from '../decide/image-facts.ts';

const digest = z.string().refine((text): text is Digest => isDigest(text), 'not a digest');
const RecordSchema = z.object({
  version: z.literal(1),
  digest,
  configDigest: digest.optional(),
  contextHash: z.string(),
  isKept: z.boolean(),
});

/** Where a service's local state lies; all below `services/` of the state directory. */
export interface LocalPlaces {
  readonly record: string;
  /** OCI layout of what was built without a push. */
  readonly layout: string;
}

export function localPlaces(stateDir: string, { registry, repository }: Repository): LocalPlaces {
  const last = repository.split('/').at(-1) ?? '';
  const key = createHash('sha256').update(`${registry}/${repository}`).digest('hex').slice(0, 16);
  const directory = join(stateDir, 'services', 'images', `${last.slice(0, 60)}-${key}`);
  return { record: join(directory, 'image.json'), layout: join(directory, 'layout') };
}

/** What was built here last, undefined where nothing was, or what is written cannot be read. */
export async function readLocalImage({ record }: LocalPlaces): Promise<LocalImage | undefined> {
  try {
    const {
      configDigest,
      contextHash,
      digest: built,
      isKept,
    } = RecordSchema.parse(JSON.parse(await readFile(record, 'utf8')));
    return { digest: built, configDigest, contextHash, isKept };
  } catch {
    return undefined;
  }
}

export async function writeLocalImage(
  { record }: LocalPlaces,
  image: LocalImage,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  await writeFileAtomically(record, `${JSON.stringify({ version: 1, ...image })}\n`, { signal });
}
