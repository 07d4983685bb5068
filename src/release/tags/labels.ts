import type { TagContext } from './context.ts';
import { saysSomething } from './fields.ts';

/**
 * Labels or annotations of an image (image-spec 1.1, annotations.md, "Pre-Defined Annotation Keys"), sorted by key. Custom
 * `key=value` lines go before; one without `=` says nothing; an empty value is kept.
 */
export function describeImage(
  { context, version }: { readonly context: TagContext; readonly version: string | undefined },
  custom: readonly string[],
): Readonly<Record<string, string>> {
  const { clock, repository, sha } = context;
  const own = {
    title: repository.name,
    description: repository.description,
    url: repository.url,
    source: repository.url,
    version: version ?? '',
    created: clock.toISOString(),
    revision: sha,
    licenses: repository.license,
  };
  const all = new Map(Object.entries(own).map(([key, value]) => [`org.opencontainers.image.${key}`, value]));
  for (const line of custom.filter(saysSomething)) {
    const equals = line.indexOf('=');
    if (equals > 0) all.set(line.slice(0, equals).trim(), line.slice(equals + 1));
  }
  return Object.fromEntries([...all].toSorted(([one], [other]) => (one < other ? -1 : one > other ? 1 : 0)));
}
