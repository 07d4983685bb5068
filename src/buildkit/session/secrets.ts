import { readFile, stat } from 'node:fs/promises';
import { toWorkerError, WorkerError } from '../../errors/index.ts';
import { GetSecretRequest, GetSecretResponse } from '../../gen/github.com/moby/buildkit/session/secrets/secrets.ts';
import type { RpcHandler } from './rpc-server.ts';
import { RPC_CODE } from './rpc-status.ts';
import { unary } from './unary.ts';

/** A file is read when a step first asks for it, never before. */
export type SecretSource = { readonly file: string } | { readonly bytes: Uint8Array };

/** BuildKit's own convention (session/secrets/secretsprovider, MaxSecretSize). */
const MAX_SECRET_BYTES = 500 * 1024;

/** `moby.buildkit.secrets.v1.Secrets`. An unknown id is NOT_FOUND: an optional mount goes on without it. */
export function secretHandlers(secrets: ReadonlyMap<string, SecretSource>): ReadonlyMap<string, RpcHandler> {
  return new Map([
    [
      '/moby.buildkit.secrets.v1.Secrets/GetSecret',
      unary(GetSecretRequest, GetSecretResponse, async ({ ID: id }) => {
        const source = secrets.get(id);
        if (source === undefined) return { code: RPC_CODE.notFound, message: `secret ${id} was not given` };
        return { data: await secretBytes(id, source) };
      }),
    ],
  ]);
}

/** Throws SECRET_NOT_FOUND when the file is not there, LIMIT_EXCEEDED when it is too large. */
async function secretBytes(id: string, source: SecretSource): Promise<Buffer> {
  const bytes = 'bytes' in source ? Buffer.from(source.bytes) : await readSecretFile(id, source.file);
  if (bytes.length > MAX_SECRET_BYTES) throw tooLarge(id, bytes.length);
  return bytes;
}

async function readSecretFile(id: string, path: string): Promise<Buffer> {
  try {
    const { size } = await stat(path);
    if (size > MAX_SECRET_BYTES) throw tooLarge(id, size);
    return await readFile(path);
  } catch (thrown) {
    const error = toWorkerError(thrown, `read ${path} for secret ${id}`);
    if (error.code !== 'PATH_NOT_FOUND') throw error;
    throw new WorkerError('SECRET_NOT_FOUND', `secret ${id}: ${path} does not exist`, { id }, { cause: thrown });
  }
}

function tooLarge(id: string, sizeBytes: number): WorkerError {
  return new WorkerError(
    'LIMIT_EXCEEDED',
    `secret ${id} has ${sizeBytes} bytes, at most ${MAX_SECRET_BYTES} are taken`,
    { id },
  );
}
