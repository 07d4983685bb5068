import { Metadata, status } from '@grpc/grpc-js';
import { type Category, ERROR_CODES, toWorkerError, WorkerError } from '../../errors/index.ts';
import { ErrorInfo } from '../../gen/google/rpc/error_details.ts';
import { Status } from '../../gen/google/rpc/status.ts';

/** The gRPC status of an error, by its category and nothing else. */
export const STATUS_OF_CATEGORY: Readonly<Record<Category, status>> = {
  invalid: status.INVALID_ARGUMENT,
  not_found: status.NOT_FOUND,
  conflict: status.ABORTED,
  denied: status.PERMISSION_DENIED,
  unauthenticated: status.UNAUTHENTICATED,
  exhausted: status.RESOURCE_EXHAUSTED,
  unavailable: status.UNAVAILABLE,
  deadline: status.DEADLINE_EXCEEDED,
  canceled: status.CANCELLED,
  data_loss: status.DATA_LOSS,
  unimplemented: status.UNIMPLEMENTED,
  internal: status.INTERNAL,
};

export const DETAILS_KEY = 'grpc-status-details-bin';
export const ERROR_INFO = 'type.googleapis.com/google.rpc.ErrorInfo';
export const DOMAIN = 'clipyard';

/** Trailers are headers, and 8 KiB of them are what every client takes; the message is in them twice. */
const MESSAGE_BYTES = 1024;
const METADATA_BYTES = 2048;

/** How a call ends, as grpc-js takes it. */
export interface CallStatus {
  readonly code: status;
  readonly details: string;
  readonly metadata: Metadata;
}

/** Codes that stand for a defect: their text may name anything inside, so that it is logged and not sent. */
const UNSPOKEN: ReadonlySet<string> = new Set(['INTERNAL', 'IO_FAILED']);

/** The status of whatever a handler threw, and the same as ours for the log. */
export function callStatusOf(thrown: unknown): { readonly error: WorkerError; readonly status: CallStatus } {
  const error = toWorkerError(thrown, 'call');
  const isUnspoken = UNSPOKEN.has(error.code);
  const message = isUnspoken ? ERROR_CODES[error.code].help : shortened(error.message, MESSAGE_BYTES);
  const info = ErrorInfo.create({
    reason: error.code,
    domain: DOMAIN,
    metadata: isUnspoken ? {} : metadataOf(error.details),
  });
  const code = STATUS_OF_CATEGORY[error.category];
  const details = Buffer.from(
    Status.encode({
      code,
      message,
      details: [{ typeUrl: ERROR_INFO, value: Buffer.from(ErrorInfo.encode(info).finish()) }],
    }).finish(),
  );
  const metadata = new Metadata();
  metadata.set(DETAILS_KEY, details);
  return { error, status: { code, details: message, metadata } };
}

/** Details as texts, as many as there is room for. */
function metadataOf(details: WorkerError['details']): Record<string, string> {
  const kept: Record<string, string> = {};
  let left = METADATA_BYTES;
  for (const [name, value] of Object.entries(details)) {
    if (value === undefined) continue;
    const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
    left -= Buffer.byteLength(name) + Buffer.byteLength(text);
    if (left < 0) break;
    kept[name] = text;
  }
  return kept;
}

function shortened(text: string, most: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= most) return text;
  // A character that was cut in two would not be UTF-8.
  return `${bytes
    .subarray(0, most)
    .toString()
    .replace(/\uFFFD+$/, '')}…`;
}
