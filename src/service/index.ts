export type { CallObserver } from './server/call.ts';
export { isLocal, parseListen } from './server/listen.ts';
export { type RunningServer, type ServeOptions, type ServerTls, serve } from './server/serve.ts';
