import { open, stat } from 'node:fs/promises';
import { type Digest, isDigest } from '../../digest/index.ts';
import { systemCodeOf } from '../../errors/index.ts';
import {
  InfoRequest,
  InfoResponse,
  ReadContentRequest,
  ReadContentResponse,
} from '../../gen/github.com/containerd/containerd/api/services/content/v1/content.ts';
import type { OciLayout } from '../../oci/index.ts';
import type { RpcCall } from '../session/rpc-call.ts';
import type { RpcHandler } from '../session/rpc-server.ts';
import { RPC_CODE, RPC_OK, type RpcStatus } from '../session/rpc-status.ts';
import { decode } from '../session/unary.ts';

/** Manifests and configurations, which the daemon takes as they come, are proven here; layers it proves itself. */
const PROVEN_BYTES = 4 * 1024 * 1024;
/** Bytes of one answer; gRPC takes 4 MiB. */
const PIECE_BYTES = 1024 * 1024;
const STORE_HEADER = 'buildkit-attachable-store-id';

/** `containerd.services.content.v1.Content/Info` and `Read` over layouts of this machine, by store id. */
export function contentReadHandlers(stores: ReadonlyMap<string, OciLayout>): ReadonlyMap<string, RpcHandler> {
  const answering =
    <T extends { readonly digest: string }>(
      codec: Parameters<typeof decode<T>>[0],
      answer: (call: RpcCall, blob: FoundBlob, request: T) => Promise<RpcStatus>,
    ): RpcHandler =>
    async (call) => {
      const layout = stores.get(call.header(STORE_HEADER)[0] ?? '');
      if (layout === undefined) return { code: RPC_CODE.notFound, message: 'unknown store' };
      for await (const bytes of call.messages()) {
        const request = decode(codec, bytes);
        const blob = await findBlob(layout, request.digest);
        return blob === undefined
          ? { code: RPC_CODE.notFound, message: `blob ${request.digest}: not found` }
          : await answer(call, blob, request);
      }
      return { code: RPC_CODE.invalidArgument, message: 'a request was expected' };
    };
  return new Map([
    ['/containerd.services.content.v1.Content/Info', answering<InfoRequest>(InfoRequest, sendInfo)],
    ['/containerd.services.content.v1.Content/Read', answering<ReadContentRequest>(ReadContentRequest, sendContent)],
  ]);
}

interface FoundBlob {
  readonly layout: OciLayout;
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** A digest is hex, so no name of a blob leads out of the layout. */
async function findBlob(layout: OciLayout, digest: string): Promise<FoundBlob | undefined> {
  if (!isDigest(digest)) return undefined;
  try {
    const stats = await stat(layout.blobPath(digest));
    return stats.isFile() ? { layout, digest, sizeBytes: stats.size } : undefined;
  } catch (thrown) {
    if (systemCodeOf(thrown) === 'ENOENT') return undefined;
    throw thrown;
  }
}

async function sendInfo(call: RpcCall, { digest, sizeBytes }: FoundBlob): Promise<RpcStatus> {
  const info = { digest, size: BigInt(sizeBytes) };
  await call.send(InfoResponse.encode(InfoResponse.fromPartial({ info })).finish());
  return RPC_OK;
}

async function sendContent(call: RpcCall, blob: FoundBlob, request: ReadContentRequest): Promise<RpcStatus> {
  const start = Number(request.offset > 0n ? request.offset : 0n);
  const asked = request.size > 0n ? start + Number(request.size) : blob.sizeBytes;
  const end = Math.min(asked, blob.sizeBytes);
  if (start > blob.sizeBytes) return { code: 11 /* OUT_OF_RANGE */, message: `${start} of ${blob.sizeBytes} bytes` };
  for await (const { data, offset } of piecesOf(blob, start, end, call.signal))
    await call.send(ReadContentResponse.encode({ offset: BigInt(offset), data }).finish());
  return RPC_OK;
}

async function* piecesOf(
  { digest, layout, sizeBytes }: FoundBlob,
  start: number,
  end: number,
  signal: AbortSignal,
): AsyncGenerator<{ readonly offset: number; readonly data: Buffer }> {
  if (sizeBytes <= PROVEN_BYTES) {
    const bytes = Buffer.from(await layout.readBlob({ digest, size: sizeBytes }, { maxBytes: PROVEN_BYTES, signal }));
    for (let offset = start; offset < end; offset += PIECE_BYTES)
      yield { offset, data: bytes.subarray(offset, Math.min(offset + PIECE_BYTES, end)) };
    return;
  }
  await using file = await open(layout.blobPath(digest), 'r');
  for (let offset = start; offset < end; ) {
    const { buffer, bytesRead } = await file.read(
      Buffer.allocUnsafe(Math.min(PIECE_BYTES, end - offset)),
      0,
      undefined,
      offset,
    );
    if (bytesRead === 0) return; // it became shorter; the daemon misses the rest
    yield { offset, data: buffer.subarray(0, bytesRead) };
    offset += bytesRead;
  }
}
