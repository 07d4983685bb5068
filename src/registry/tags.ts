import { z } from 'zod';
import { type Cancelable, WorkerError } from '../errors/index.ts';
import type { Repository } from './reference.ts';
import { resolveLocation, scopeOf, type Transport } from './transport.ts';
import { nameOf } from './wire.ts';

const TagList = z.object({ tags: z.array(z.string()).nullish() });
const MAX_PAGE_BYTES = 4 * 1024 * 1024;
const MAX_TAGS = 10_000;

/** distribution-spec 1.1, "Listing Tags": page after page. */
export async function listTags(
  transport: Transport,
  repository: Repository,
  { signal, maxTags = MAX_TAGS }: Cancelable & { readonly maxTags?: number },
): Promise<readonly string[]> {
  const tags: string[] = [];
  const start = transport.urlOf(repository, 'tags/list');
  for (let url: URL | undefined = start; url !== undefined && tags.length < maxTags; ) {
    const response = await transport.sendRetrying({
      method: 'GET',
      registry: repository.registry,
      url,
      scopes: [scopeOf(repository.repository, 'pull')],
      expect: [200, 404],
      signal,
    });
    const bytes = await response.bytes(MAX_PAGE_BYTES);
    if (response.status === 404) break;
    const page = parsePage(bytes, nameOf('GET', url));
    tags.push(...page);
    url = page.length === 0 ? undefined : nextOf(response.header('link'), url);
  }
  return tags.slice(0, maxTags);
}

function parsePage(bytes: Buffer, doing: string): readonly string[] {
  try {
    return TagList.parse(JSON.parse(bytes.toString())).tags ?? [];
  } catch (cause) {
    throw new WorkerError('REGISTRY_PROTOCOL', `${doing}: the answer is no list of tags`, {}, { cause });
  }
}

/** The next page (RFC 8288), at the same registry only. */
function nextOf(link: string | undefined, url: URL): URL | undefined {
  const target = link === undefined ? undefined : /<([^>]*)>\s*;[^,]*\brel="?next"?/.exec(link)?.[1];
  if (target === undefined) return undefined;
  const next = resolveLocation(target, url);
  return next.origin === url.origin && next.href !== url.href ? next : undefined;
}
