import { access } from 'node:fs/promises';
import { credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { type Cancelable, isErrorCode, messageOf, WorkerError } from '../errors/index.ts';
import { MountServiceClient } from '../gen/clipyard/mount/v1/mount.ts';
import { ErrorInfo } from '../gen/google/rpc/error_details.ts';
import { Status } from '../gen/google/rpc/status.ts';
import { callUnary, statusText, type UnaryMethod } from '../rpc/index.ts';

const DETAILS_KEY = 'grpc-status-details-bin';
const ERROR_INFO = 'type.googleapis.com/google.rpc.ErrorInfo';

/**
 * One call over a connection of its own. Throws the daemon's codes (MOUNT_BUSY, …), and MOUNT_DAEMON_UNAVAILABLE when nobody
 * answers at the socket, or whoever did ended before the answer.
 */
export async function callDaemon<Request, Response>(
  socketPath: string,
  method: (client: MountServiceClient) => UnaryMethod<Request, Response>,
  request: Request,
  { signal }: Cancelable,
): Promise<Response> {
  signal.throwIfAborted();
  // grpc-js retries a socket that is not there for a while; for a file that is missing there is nothing to wait for.
  await access(socketPath).catch((cause: unknown) => {
    throw unavailable(socketPath, messageOf(cause), cause);
  });
  const client = new MountServiceClient(`unix:${socketPath}`, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.default_authority': 'localhost',
    'grpc.enable_retries': 0,
    'grpc.service_config_disable_resolution': 1,
  });
  try {
    return await callUnary(method(client), request, { signal });
  } catch (thrown) {
    signal.throwIfAborted();
    throw errorOf(thrown, socketPath);
  } finally {
    client.close();
  }
}

function errorOf(thrown: unknown, socketPath: string): WorkerError {
  const { code, details, metadata } = serviceErrorOf(thrown);
  const info = errorInfoOf(metadata);
  if (info !== undefined && isErrorCode(info.reason))
    return new WorkerError(info.reason, details, info.metadata, { cause: thrown });
  if (code === status.UNAVAILABLE || code === status.CANCELLED)
    return unavailable(socketPath, statusText(details), thrown);
  return new WorkerError('MOUNT_FAILED', `the mount daemon at ${socketPath}: ${details}`, {}, { cause: thrown });
}

function unavailable(socketPath: string, why: string, cause: unknown): WorkerError {
  return new WorkerError('MOUNT_DAEMON_UNAVAILABLE', `no mount daemon at ${socketPath}: ${why}`, {}, { cause });
}

function serviceErrorOf(thrown: unknown): Pick<ServiceError, 'code' | 'details' | 'metadata'> {
  if (thrown instanceof Error && 'code' in thrown && 'metadata' in thrown) return thrown as ServiceError;
  return { code: status.UNKNOWN, details: messageOf(thrown), metadata: new Metadata() };
}

function errorInfoOf(metadata: Metadata): ErrorInfo | undefined {
  const [bytes] = metadata.get(DETAILS_KEY);
  if (!(bytes instanceof Uint8Array)) return undefined;
  try {
    const info = Status.decode(bytes).details.find(({ typeUrl }) => typeUrl === ERROR_INFO);
    return info && ErrorInfo.decode(info.value);
  } catch {
    return undefined; // of somebody else's making
  }
}
