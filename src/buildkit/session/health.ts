import { HealthCheckRequest, HealthCheckResponse } from '../../gen/grpc/health/v1/health.ts';
import type { RpcHandler } from './rpc-server.ts';
import { unary } from './unary.ts';

/** `grpc.health.v1.Health`: the daemon asks every 5 s and drops the session after two failures. */
export function healthHandlers(): ReadonlyMap<string, RpcHandler> {
  return new Map([
    [
      '/grpc.health.v1.Health/Check',
      unary(HealthCheckRequest, HealthCheckResponse, () => Promise.resolve({ status: 1 /* SERVING */ })),
    ],
  ]);
}
