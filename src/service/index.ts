export { type ConnectOptions, connectWorker, OWN_WORKSPACE, type WorkerClient } from './client/client.ts';
export type { SeenCapacity, SeenWorker } from './mapping/worker.ts';
export type { CallObserver } from './server/call.ts';
export { isLocal, parseListen } from './server/listen.ts';
export { type RunningServer, type ServeOptions, type ServerTls, serve } from './server/serve.ts';
