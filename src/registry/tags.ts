import { z } from 'zod';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import { incomplete, readPages } from './pages.ts';
import type { Repository } from './reference.ts';
import type { Transport } from './transport.ts';

// Go writes an empty list as null.
const TagList = z.object({ tags: z.array(z.string()).nullish() });
const MAX_TAGS = 100_000;

/** distribution-spec 1.1, "Listing Tags": all of them, each once. Throws REGISTRY_LIST_INCOMPLETE above `maxTags`. */
export async function listTags(
  transport: Transport,
  repository: Repository,
  { signal, maxTags = MAX_TAGS }: Cancelable & { readonly maxTags?: number },
): Promise<readonly string[]> {
  // Pages may overlap when tags come and go while they are read.
  const tags = new Set<string>();
  for await (const { bytes, doing } of readPages(transport, repository, transport.urlOf(repository, 'tags/list'), {
    signal,
  })) {
    for (const tag of parsePage(bytes, doing)) tags.add(tag);
    if (tags.size > maxTags) throw incomplete(doing, `more than ${maxTags} tags`);
  }
  return [...tags];
}

function parsePage(bytes: Buffer, doing: string): readonly string[] {
  try {
    return TagList.parse(JSON.parse(bytes.toString())).tags ?? [];
  } catch (cause) {
    throw new WorkerError('REGISTRY_PROTOCOL', `${doing}: the answer is no list of tags`, {}, { cause });
  }
}
