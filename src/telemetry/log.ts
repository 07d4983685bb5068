import { destination, type Logger, pino } from 'pino';

export type Log = Logger;

export interface LogOptions {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';
}

/** One JSON event a line on stderr, with stable keys; stdout belongs to results. Tokens never reach a log call. */
export function createLog(options: LogOptions): Log {
  return pino(
    {
      level: options.level,
      base: null, // no pid and host name: a line is read where it was written
      formatters: { level: (label) => ({ level: label }) },
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: {
        paths: ['*.password', '*.token', '*.secret', 'password', 'token', 'secret', 'authorization'],
        censor: '[redacted]',
      },
    },
    destination({ fd: 2, sync: true }),
  );
}

/** A log that says nothing, for tests and for library use. */
export function silentLog(): Log {
  return pino({ level: 'silent' });
}
