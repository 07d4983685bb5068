import { join } from 'node:path';
import type { BuildRequest } from '../../buildkit/index.ts';
import { WorkerError } from '../../errors/index.ts';
import { requireSource } from '../policy/sources.ts';
import type { WorkerPolicy } from '../policy/worker-policy.ts';
import { type OpenContextOptions, unpackUploaded } from './open-context.ts';

const UPLOADED = 'uploaded:';
/** As a Dockerfile may write them. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,255}$/;

/** The digest of an upload that a named context is; undefined for anything else. */
export function uploadOf(value: string): string | undefined {
  return value.startsWith(UPLOADED) ? value.slice(UPLOADED.length) : undefined;
}

/** Throws SPEC_INVALID, SOURCE_DENIED. */
export function checkNamedContexts(contexts: Readonly<Record<string, string>>, policy: WorkerPolicy): void {
  for (const [name, value] of Object.entries(contexts)) {
    if (!NAME.test(name)) throw new WorkerError('SPEC_INVALID', `no name of a context: ${JSON.stringify(name)}`);
    if (uploadOf(value) !== undefined) continue;
    if (!/^(?:docker-image|https?|git):\/\//.test(value))
      throw new WorkerError(
        'SPEC_INVALID',
        `context ${name}: docker-image://REF, https://… or uploaded:sha256:… is needed`,
        { name },
      );
    requireSource(value, policy);
  }
}

/** Uploads are unpacked below `directory`; the rest BuildKit reads itself. Throws what `checkNamedContexts` and `unpackUploaded` throw. */
export async function openNamedContexts(
  contexts: Readonly<Record<string, string>>,
  directory: string,
  { policy, ...options }: OpenContextOptions & { readonly policy: WorkerPolicy },
): Promise<NonNullable<BuildRequest['namedContexts']>> {
  checkNamedContexts(contexts, policy);
  const opened: Record<string, { readonly dir: string } | { readonly url: string }> = {};
  for (const [at, [name, value]] of Object.entries(contexts).entries()) {
    const digest = uploadOf(value);
    const dir = join(directory, String(at));
    if (digest === undefined) opened[name] = { url: value };
    else {
      await unpackUploaded(digest, dir, options);
      opened[name] = { dir };
    }
  }
  return opened;
}
