import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { type Digest, digestOfHex, type Expected, hexOf, parseDigest } from '../../digest/index.ts';
import { WorkerError } from '../../errors/index.ts';
import { removeQuietly } from '../../files/index.ts';
import {
  WriteAction,
  WriteContentRequest,
  WriteContentResponse,
} from '../../gen/github.com/containerd/containerd/api/services/content/v1/content.ts';
import type { RpcCall } from '../session/rpc-call.ts';
import type { RpcHandler } from '../session/rpc-server.ts';
import { RPC_CODE, RPC_OK, type RpcStatus } from '../session/rpc-status.ts';
import { decode } from '../session/unary.ts';
import type { Lander } from './lander.ts';

/** The store that the `oci` exporter writes to; caches of type `local` have others. */
export const EXPORT_STORE = 'export';
const ALREADY_HERE: RpcStatus = { code: RPC_CODE.alreadyExists, message: 'the blob is here' };

/**
 * `containerd.services.content.v1.Content/Write` for the image export and for caches, by store id. The daemon opens a write for each blob and waits for
 * the first answer; meanwhile its export lease keeps the blob. We fetch the blob a faster way and answer ALREADY_EXISTS, or,
 * where no faster way works, take the bytes on the same stream.
 */
export function contentHandlers(landers: ReadonlyMap<string, Lander>): ReadonlyMap<string, RpcHandler> {
  const write = async (call: RpcCall): Promise<RpcStatus> => {
    const [store] = call.header('buildkit-attachable-store-id');
    const lander = landers.get(store ?? '');
    if (lander === undefined) return { code: RPC_CODE.notFound, message: `unknown store ${store ?? ''}` };
    const messages = call.messages();
    const first = await nextRequest(messages);
    if (first?.action !== WriteAction.STAT || first.expected === '') {
      return { code: RPC_CODE.invalidArgument, message: 'a write begins with STAT and the digest that is expected' };
    }
    const blob = { digest: parseDigest(first.expected), sizeBytes: Number(first.total) };
    if (await lander.fetch(blob)) return ALREADY_HERE;
    await using upload = await Upload.open(lander, blob);
    return await upload.receive(call, first, messages);
  };
  return new Map([['/containerd.services.content.v1.Content/Write', write]]);
}

async function nextRequest(messages: AsyncGenerator<Buffer, void>): Promise<WriteContentRequest | undefined> {
  const next = await messages.next();
  return next.done === true ? undefined : decode(WriteContentRequest, next.value);
}

/** One blob that comes as session bytes: STAT, WRITE …, COMMIT, each answered before the next is sent. */
class Upload implements AsyncDisposable {
  readonly #lander: Lander;
  readonly #blob: Expected;
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #hash: Hash = createHash('sha256');
  #offset = 0;

  private constructor(lander: Lander, blob: Expected, path: string, file: FileHandle) {
    this.#lander = lander;
    this.#blob = blob;
    this.#path = path;
    this.#file = file;
  }

  static async open(lander: Lander, blob: Expected): Promise<Upload> {
    const path = await lander.landing.temporaryPath(hexOf(blob.digest).slice(0, 12));
    return new Upload(lander, blob, path, await open(path, 'wx'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
    await removeQuietly(this.#path); // gone already when it was adopted
  }

  async receive(call: RpcCall, first: WriteContentRequest, rest: AsyncGenerator<Buffer, void>): Promise<RpcStatus> {
    const onProgress = this.#lander.progressOf(this.#blob);
    for (
      let request: WriteContentRequest | undefined = first;
      request !== undefined;
      request = await nextRequest(rest)
    ) {
      if (request.action !== WriteAction.STAT) await this.#append(request);
      onProgress(this.#offset);
      if (request.action !== WriteAction.COMMIT) {
        await this.#reply(call, request.action, '');
        continue;
      }
      await this.#commit();
      await this.#reply(call, request.action, this.#blob.digest);
      this.#lander.landedBy('session', this.#blob);
      return RPC_OK;
    }
    return { code: RPC_CODE.canceled, message: 'the write was not committed' };
  }

  async #append({ data, offset }: WriteContentRequest): Promise<void> {
    if (data.length === 0) return;
    if (Number(offset) !== this.#offset) {
      throw new WorkerError(
        'BUILDKIT_PROTOCOL',
        `blob ${this.#blob.digest}: write at ${offset}, ${this.#offset} expected`,
      );
    }
    if (this.#offset + data.length > this.#blob.sizeBytes)
      throw this.#mismatch(`more than ${this.#blob.sizeBytes} bytes`);
    await this.#file.writeFile(data); // a handle writes on where it stands
    this.#hash.update(data);
    this.#offset += data.length;
  }

  async #commit(): Promise<void> {
    if (this.#offset !== this.#blob.sizeBytes)
      throw this.#mismatch(`${this.#offset} bytes instead of ${this.#blob.sizeBytes}`);
    const digest = digestOfHex(this.#hash.digest('hex'));
    if (digest !== this.#blob.digest) throw this.#mismatch(`digest ${digest}`);
    await this.#lander.landing.adoptFile(this.#path, this.#blob);
  }

  #mismatch(what: string): WorkerError {
    return new WorkerError('BLOB_MISMATCH', `blob ${this.#blob.digest} from the session: got ${what}`, {
      digest: this.#blob.digest,
    });
  }

  async #reply(call: RpcCall, action: WriteAction, digest: Digest | ''): Promise<void> {
    const reply = { action, offset: BigInt(this.#offset), total: BigInt(this.#blob.sizeBytes), digest };
    await call.send(WriteContentResponse.encode(WriteContentResponse.fromPartial(reply)).finish());
  }
}
