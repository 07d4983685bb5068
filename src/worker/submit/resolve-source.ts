import { digestOf, isDigest } from '../../digest/index.ts';
import { WorkerError } from '../../errors/index.ts';
import type { BuildSpec, ContextSpec } from '../build-spec.ts';
import { requireContext, type UploadAge } from '../intake/context-store.ts';
import { resolveCommit } from '../intake/git-source.ts';
import { uploadOf } from '../intake/named-contexts.ts';
import { requireObjectKey } from '../intake/open-context.ts';
import { gitContext, type SourceContext } from '../intake/open-source.ts';

/** `now`: milliseconds since 1970. */
type TimedContext = SourceContext & Pick<UploadAge, 'now'>;

/** A context as it is now, and what names it in a key. */
export interface ResolvedSource {
  readonly context: ContextSpec;
  readonly identity: string;
}

/**
 * Fixes what a context is at the moment of submission: uploads are there, an object has its etag, a branch its commit. Throws
 * UPLOAD_NOT_FOUND, STORE_OBJECT_NOT_FOUND, GIT_FAILED, SOURCE_DENIED.
 */
export async function resolveSource(
  spec: Pick<BuildSpec, 'context' | 'secrets' | 'ssh'>,
  context: TimedContext,
): Promise<ResolvedSource> {
  const { signal, store, workspaceId } = context;
  const source = spec.context;
  switch (source.type) {
    case 'inline':
      return { context: source, identity: `inline ${digestOf(source.dockerfile)}` };
    case 'uploaded':
      await requireUpload(source.digest, context);
      return { context: source, identity: source.digest };
    case 'object': {
      const info = await store.head(requireObjectKey(workspaceId, source.key), { signal });
      if (info === undefined)
        throw new WorkerError('STORE_OBJECT_NOT_FOUND', `${source.key} is not in the store`, { key: source.key });
      // The store's word for the content where it has one; an etag is another one for another content all the same.
      return { context: { ...source, etag: info.etag }, identity: info.sha256 ?? `object ${source.key} ${info.etag}` };
    }
    case 'git': {
      const { commit: _, ...asked } = source;
      const commit = await resolveCommit(asked, gitContext(source, spec, context));
      return { context: { ...asked, commit }, identity: `git ${source.url} ${commit}` };
    }
  }
}

/** Named contexts that are uploads must be there; their values name their content. Throws UPLOAD_NOT_FOUND. */
export async function requireUploads(contexts: Readonly<Record<string, string>>, context: TimedContext): Promise<void> {
  for (const value of Object.values(contexts)) {
    const digest = uploadOf(value);
    if (digest !== undefined) await requireUpload(digest, context);
  }
}

async function requireUpload(
  digest: string,
  { limits: { keepUploadsMs }, now, signal, store, workspaceId }: TimedContext,
): Promise<void> {
  if (!isDigest(digest)) throw new WorkerError('SPEC_INVALID', `${digest.slice(0, 100)} is no digest of an upload`);
  await requireContext(workspaceId, digest, { keepUploadsMs, now, signal, store });
}
