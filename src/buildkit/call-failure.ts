import { Metadata } from '@grpc/grpc-js';
import { messageOf, WorkerError } from '../errors/index.ts';
import { statusText } from '../rpc/index.ts';
import { RPC_CODE } from './session/rpc-status.ts';
import { type ErrorDetail, parseStatusDetails } from './status-details.ts';

/** A gRPC call that ended with an error: what the daemon said, and the same as ours where its meaning is plain. */
export interface CallFailure {
  readonly rpcCode: number;
  readonly text: string;
  readonly details: readonly ErrorDetail[];
  readonly error: WorkerError;
}

/** `doing` says what was asked (`read blob …`). Codes without a plain meaning become BUILDKIT_PROTOCOL. */
export function failureOfCall(thrown: unknown, doing: string): CallFailure {
  const { code, details: text, metadata } = serviceErrorOf(thrown);
  const details = parseStatusDetails(metadata);
  return { rpcCode: code, text, details, error: errorOf(code, text, doing, thrown) };
}

function errorOf(code: number, text: string, doing: string, cause: unknown): WorkerError {
  if (cause instanceof WorkerError) return cause;
  switch (code) {
    case RPC_CODE.canceled:
      return new WorkerError('CANCELED', `${doing}: canceled`, {}, { cause });
    case RPC_CODE.deadlineExceeded:
      return new WorkerError('BUILDKIT_UNAVAILABLE', `${doing}: no answer in time: ${text}`, {}, { cause });
    case RPC_CODE.unavailable:
      return new WorkerError('BUILDKIT_UNAVAILABLE', `${doing}: ${text}`, {}, { cause });
    case RPC_CODE.notFound:
      return new WorkerError('BLOB_MISSING', `${doing}: ${text}`, {}, { cause });
    default:
      return new WorkerError('BUILDKIT_PROTOCOL', `${doing}: ${text}`, { rpcCode: code }, { cause });
  }
}

function serviceErrorOf(thrown: unknown): { code: number; details: string; metadata: Metadata } {
  const unknown = { code: RPC_CODE.unknown, details: messageOf(thrown), metadata: new Metadata() };
  if (!(thrown instanceof Error) || !('code' in thrown) || typeof thrown.code !== 'number') return unknown;
  const details = 'details' in thrown && typeof thrown.details === 'string' ? thrown.details : thrown.message;
  const metadata = 'metadata' in thrown && thrown.metadata instanceof Metadata ? thrown.metadata : new Metadata();
  return { code: thrown.code, details: statusText(details), metadata };
}
