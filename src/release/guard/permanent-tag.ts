import type { Digest } from '../../digest/index.ts';
import { WorkerError } from '../../errors/index.ts';

/**
 * What writing a permanent tag means: `write` where there is none, `unchanged` where it names that image already (then
 * nothing is sent: registries with immutable tags refuse even the same digest). Throws RELEASE_TAG_TAKEN for another
 * image, whatever is forced.
 */
export function guardPermanentTag(tag: string, before: Digest | undefined, after: Digest): 'write' | 'unchanged' {
  if (before === undefined) return 'write';
  if (before === after) return 'unchanged';
  throw new WorkerError('RELEASE_TAG_TAKEN', `${tag} is released as ${before} and does not change to ${after}`, {
    tag,
    digest: before,
  });
}
