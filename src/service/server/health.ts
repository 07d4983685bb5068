import { status } from '@grpc/grpc-js';
import {
  type HealthCheckRequest,
  type HealthServer,
  HealthCheckResponse_ServingStatus as Serving,
} from '../../gen/grpc/health/v1/health.ts';
import type { Readiness } from './readiness.ts';

/** grpc.health.v1 for everybody, without a token: load balancers have none. NOT_SERVING while the worker drains. */
export function healthService(services: readonly string[], readiness: Readiness, stopping: AbortSignal): HealthServer {
  // The empty name is the server as a whole.
  const known = new Set(['', ...services]);
  const servingNow = () => (readiness.ready ? Serving.SERVING : Serving.NOT_SERVING);
  const statusOf = ({ service }: HealthCheckRequest) => (known.has(service) ? servingNow() : Serving.SERVICE_UNKNOWN);
  return {
    check: (call, callback) => {
      if (known.has(call.request.service)) callback(null, { status: servingNow() });
      else callback({ code: status.NOT_FOUND, details: 'no such service' });
    },
    list: (_call, callback) => {
      callback(null, { statuses: Object.fromEntries([...known].map((name) => [name, { status: servingNow() }])) });
    },
    watch: (call) => {
      const tell = () => call.write({ status: statusOf(call.request) });
      const listening = readiness.onChange(tell);
      const stop = () => {
        listening[Symbol.dispose]();
        stopping.removeEventListener('abort', stop);
        call.end();
      };
      call.once('cancelled', stop);
      stopping.addEventListener('abort', stop);
      tell();
      if (stopping.aborted) stop();
    },
  };
}
