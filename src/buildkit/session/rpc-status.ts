/** The gRPC status codes that appear on a session (grpc, statuscodes.md). */
export const RPC_CODE = {
  ok: 0,
  canceled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  resourceExhausted: 8,
  failedPrecondition: 9,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
} as const;

/** How a call ends. */
export interface RpcStatus {
  readonly code: number;
  readonly message: string;
}

export const RPC_OK: RpcStatus = { code: RPC_CODE.ok, message: '' };
