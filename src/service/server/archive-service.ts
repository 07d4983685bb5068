import type { ArchiveServiceServer } from '../../gen/clipyard/v1/archive.ts';
import type { Archives } from '../../worker/index.ts';
import { indexedToProto, indexRequestFromProto, resolvedToProto, resolveFromProto } from '../mapping/archive.ts';
import { type CallContext, unary } from './call.ts';
import type { Readiness } from './readiness.ts';

/** ArchiveService over the archives of a worker. */
export function archiveService(archives: Archives, readiness: Readiness, context: CallContext): ArchiveServiceServer {
  return {
    resolve: unary(context, async (request, { caller, signal }) => {
      const { image, ...platform } = resolveFromProto(request);
      return resolvedToProto(await archives.resolve(caller.workspaceId, image, { signal, ...platform }));
    }),
    indexImage: unary(context, async (request, { caller, signal }) => {
      readiness.assertReady();
      return indexedToProto(await archives.indexImage(caller.workspaceId, indexRequestFromProto(request), { signal }));
    }),
  };
}
