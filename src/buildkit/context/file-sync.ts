import { messageOf } from '../../errors/index.ts';
import type { RpcCall } from '../session/rpc-call.ts';
import type { RpcHandler } from '../session/rpc-server.ts';
import { RPC_CODE, RPC_OK } from '../session/rpc-status.ts';
import type { ContextLimits } from './context-limits.ts';
import { ContextSender, type SyncReport } from './context-sender.ts';
import type { ContextSource } from './context-source.ts';
import { failedPacket } from './packet.ts';
import { filterOf, syncRequestOf } from './sync-request.ts';

export interface FileSyncOptions {
  /** Trees by the name of their mount. */
  readonly sources: ReadonlyMap<string, ContextSource>;
  readonly limits: ContextLimits;
  readonly onSynced: (report: SyncReport) => void;
}

/** `moby.filesync.v1.FileSync`: the daemon reads our trees, and ours alone, by their mount names. */
export function fileSyncHandlers({ sources, limits, onSynced }: FileSyncOptions): ReadonlyMap<string, RpcHandler> {
  const diffCopy = async (call: RpcCall) => {
    const request = syncRequestOf(call);
    const source = sources.get(request.name);
    if (source === undefined) {
      return { code: RPC_CODE.notFound, message: `no access allowed to dir ${JSON.stringify(request.name)}` };
    }
    try {
      onSynced(await new ContextSender(call, request.name, source, limits).send(filterOf(request, source)));
      return RPC_OK;
    } catch (thrown) {
      if (!call.signal.aborted) await call.send(failedPacket(messageOf(thrown)));
      throw thrown;
    }
  };
  return new Map([['/moby.filesync.v1.FileSync/DiffCopy', diffCopy]]);
}
