import { Server, ServerCredentials } from '@grpc/grpc-js';
import { WorkerError } from '../../errors/index.ts';
import { ArchiveServiceService } from '../../gen/clipyard/v1/archive.ts';
import { BuildServiceService } from '../../gen/clipyard/v1/build.ts';
import { WorkerServiceService } from '../../gen/clipyard/v1/worker.ts';
import { HealthService } from '../../gen/grpc/health/v1/health.ts';
import { ServerReflectionService } from '../../gen/grpc/reflection/v1/reflection.ts';
import { ServerReflectionService as ServerReflectionServiceV1alpha } from '../../gen/grpc/reflection/v1alpha/reflection.ts';
import type { Log } from '../../telemetry/index.ts';
import type { Archives, Builds, WorkerControl } from '../../worker/index.ts';
import { byCommonName, byGrants, trustEverybody } from '../auth/authenticate.ts';
import type { Authenticate } from '../auth/caller.ts';
import { openGrantsFile } from '../auth/grants-file.ts';
import { archiveService } from './archive-service.ts';
import { buildService } from './build-service.ts';
import type { CallContext, CallObserver } from './call.ts';
import { healthService } from './health.ts';
import { isLocal, type ListenAddress, listen, parseListen } from './listen.ts';
import { Readiness } from './readiness.ts';
import { reflectionService } from './reflection.ts';
import { workerService } from './worker-service.ts';

export interface ServeOptions {
  /** `host:port` (port 0: a free one) or `unix:///path`. */
  readonly listen: string;
  /** PEM texts. With `clientCa` every connection needs a certificate by it. Absent: no TLS. */
  readonly tls?: ServerTls;
  /** Absent: without client authorities, whoever reaches a loopback address or socket is trusted. */
  readonly tokensFile?: string;
  /** Of calls without a token that name no workspace. */
  readonly defaultWorkspace: string;
  readonly builds: Builds;
  readonly archives: Archives;
  readonly control: WorkerControl;
  readonly log: Log;
  readonly observe?: CallObserver;
  /** How often a call that lasts shows its credentials again; default 5 s. */
  readonly recheckMs?: number;
  /** How long calls may go on once the server is disposed of; default 5 s. Watches end at once. */
  readonly graceMs?: number;
  /** Milliseconds since 1970; default the clock. */
  readonly now?: () => number;
}

export interface ServerTls {
  readonly cert: string;
  readonly key: string;
  readonly clientCa?: string;
}

/** A server that answers calls until it is disposed of: no new ones, those under way within the grace, then broken off. */
export interface RunningServer extends AsyncDisposable {
  /** As clients write it; with TLS `https://` goes before. */
  readonly address: string;
  /** False: health says NOT_SERVING and calls that bring work are refused with WORKER_DRAINING. */
  setReady(ready: boolean): void;
}

/** An inline Dockerfile of 8 MiB and what stands around it. */
const MESSAGE_BYTES = 16 * 1024 * 1024;
const WINDOW_BYTES = 1024 * 1024;
const GRACE_MS = 5000;
const RECHECK_MS = 5000;
const SERVICES = [BuildServiceService, ArchiveServiceService, WorkerServiceService].map(serviceName);

/** Throws CONFIG_INVALID: the address, the certificates or the tokens file cannot be used, or anybody could call. */
export async function serve(options: ServeOptions): Promise<RunningServer> {
  const { archives, builds, control, log, observe, recheckMs = RECHECK_MS } = options;
  const address = parseListen(options.listen);
  const authenticate = await authenticatorOf(options, address);
  const stopping = new AbortController();
  const readiness = new Readiness();
  const context: CallContext = { authenticate, log, observe, recheckMs, stopping: stopping.signal };
  const server = new Server({
    'grpc.max_receive_message_length': MESSAGE_BYTES,
    'grpc.max_send_message_length': MESSAGE_BYTES,
    'grpc.max_concurrent_streams': 1000,
    // A client that vanished without a word is found out within these.
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 10_000,
    'grpc-node.flow_control_window': WINDOW_BYTES,
  });
  server.addService(BuildServiceService, buildService(builds, readiness, context));
  server.addService(ArchiveServiceService, archiveService(archives, readiness, context));
  server.addService(WorkerServiceService, workerService(control, readiness, context));
  server.addService(HealthService, healthService(SERVICES, readiness, stopping.signal));
  server.addService(ServerReflectionService, reflectionService(context));
  server.addService(ServerReflectionServiceV1alpha, reflectionService(context));
  const bound = await listen(server, address, credentialsOf(options.tls));
  const shown = options.tls === undefined ? bound : `https://${bound}`;
  log.info({ address: shown, tokens: options.tokensFile !== undefined }, 'listening');
  return {
    address: shown,
    setReady: (ready) => {
      readiness.set(ready);
    },
    [Symbol.asyncDispose]: async () => {
      readiness.set(false);
      stopping.abort(new WorkerError('WORKER_DRAINING', 'the worker stops'));
      await shutDown(server, options.graceMs ?? GRACE_MS);
    },
  };
}

async function authenticatorOf(options: ServeOptions, address: ListenAddress): Promise<Authenticate> {
  const { defaultWorkspace, log, now = Date.now, tls, tokensFile } = options;
  if (tokensFile !== undefined) return byGrants(await openGrantsFile(tokensFile, log), now);
  if (tls?.clientCa !== undefined) return byCommonName;
  if (isLocal(address)) return trustEverybody(defaultWorkspace);
  throw new WorkerError(
    'CONFIG_INVALID',
    `${options.listen} can be reached from other machines: name a tokens file or client authorities, or listen at 127.0.0.1`,
  );
}

function credentialsOf(tls: ServerTls | undefined): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  const { cert, clientCa, key } = tls;
  const pair = { cert_chain: Buffer.from(cert), private_key: Buffer.from(key) };
  try {
    return ServerCredentials.createSsl(
      clientCa === undefined ? null : Buffer.from(clientCa),
      [pair],
      clientCa !== undefined,
    );
  } catch (thrown) {
    throw new WorkerError('CONFIG_INVALID', 'certificate and key cannot be used together', {}, { cause: thrown });
  }
}

async function shutDown(server: Server, graceMs: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => {
    server.forceShutdown();
  }, graceMs);
  server.tryShutdown(() => {
    resolve(undefined);
  });
  await promise;
  clearTimeout(timer);
}

/** `/clipyard.v1.BuildService/Get` is a path of `clipyard.v1.BuildService`. */
function serviceName(service: Readonly<Record<string, { readonly path: string }>>): string {
  return Object.values(service)[0]?.path.split('/')[1] ?? '';
}
