import { type Cancelable, WorkerError } from '../errors/index.ts';
import type { Repository } from './reference.ts';
import { resolveLocation, scopeOf, type Transport } from './transport.ts';
import { nameOf, type WireResponse } from './wire.ts';

export interface Page {
  readonly bytes: Buffer;
  readonly response: WireResponse;
  /** The request, for messages. */
  readonly doing: string;
}

const MAX_PAGE_BYTES = 16 * 1024 * 1024;

/**
 * A list to its end, page after page; none at all when the registry does not know it (404). The next page is where the answer
 * says (RFC 8288): an empty page or a short one is no end. Throws REGISTRY_LIST_INCOMPLETE for a list that does not go on.
 */
export async function* readPages(
  transport: Transport,
  { registry, repository }: Repository,
  start: URL,
  { accept, signal }: Cancelable & { readonly accept?: string },
): AsyncGenerator<Page> {
  const seen = new Set<string>();
  for (let url: URL | undefined = start; url !== undefined; ) {
    const doing = nameOf('GET', url);
    const request = {
      method: 'GET',
      registry,
      url,
      scopes: [scopeOf(repository, 'pull')],
      headers: accept === undefined ? {} : { accept },
      expect: [200, 404],
      signal,
    } as const;
    // The body belongs to the try: a page that breaks off in the middle is asked for again.
    const page: Page = await transport.retrying(doing, { signal }, async () => {
      const response = await transport.send(request);
      return { response, bytes: await response.bytes(MAX_PAGE_BYTES), doing };
    });
    if (page.response.status === 404) {
      if (seen.size === 0) return;
      throw incomplete(doing, 'a later page is not found');
    }
    seen.add(url.href);
    const next = nextOf(page.response.values('link').join(', '), url);
    yield page;
    if (next !== undefined && next.origin !== url.origin) throw incomplete(doing, `the next page is at ${next.host}`);
    if (next !== undefined && seen.has(next.href)) throw incomplete(doing, 'the next page is one that was read');
    url = next;
  }
}

/** For lists that are longer than what is read of them, too. */
export function incomplete(doing: string, why: string): WorkerError {
  return new WorkerError('REGISTRY_LIST_INCOMPLETE', `${doing}: ${why}; the list is not whole`);
}

function nextOf(link: string, url: URL): URL | undefined {
  const target = /<([^>]*)>\s*(?:;[^,<]*)?;\s*rel="?next"?/i.exec(link)?.[1];
  return target === undefined ? undefined : resolveLocation(target, url);
}
