import type { CacheSpec } from '../../buildkit/index.ts';
import { WorkerError } from '../../errors/index.ts';
import { formatReference, parseReference } from '../../registry/index.ts';
import { mayPush } from './repositories.ts';
import type { WorkerPolicy } from './worker-policy.ts';

/**
 * A BuildKit cache as a client writes it (`type=registry,ref=…`). Only registries hold caches of builds as a service, in
 * repositories the workspace may push to: another kind would name files or keys of the worker. Throws SPEC_INVALID,
 * SOURCE_DENIED, REFERENCE_INVALID.
 */
export function cacheOf(text: string, workspaceId: string, policy: WorkerPolicy): CacheSpec {
  const { type, ...attrs }: Readonly<Record<string, string>> = text.includes('=')
    ? fieldsOf(text)
    : { type: 'registry', ref: text };
  if (type === 'inline') return { type, attrs: {} };
  if (type !== 'registry' || attrs['ref'] === undefined)
    throw new WorkerError('SPEC_INVALID', `cache ${text.slice(0, 200)}: write type=registry,ref=… or type=inline`);
  const { registry, repository } = parseReference(attrs['ref']);
  const name = formatReference({ registry, repository });
  if (!mayPush(name, workspaceId, policy))
    throw new WorkerError('SOURCE_DENIED', `workspace ${workspaceId} may not keep caches in ${name}`, {
      repository: name,
    });
  return { type, attrs };
}

/** `key=value,key=value`. Throws SPEC_INVALID. */
export function fieldsOf(text: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    text.split(',').map((field) => {
      const equals = field.indexOf('=');
      if (equals <= 0) throw new WorkerError('SPEC_INVALID', `${text.slice(0, 200)}: "${field}" is not key=value`);
      return [field.slice(0, equals), field.slice(equals + 1)];
    }),
  );
}
