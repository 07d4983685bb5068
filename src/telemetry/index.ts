export { createLog, type Log, type LogOptions, silentLog } from './log.ts';
export { Secret } from './secret.ts';
export { formatBytes, formatSeconds } from './units.ts';
