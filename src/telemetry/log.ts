import type { Writable } from 'node:stream';
import { destination, type Logger, pino } from 'pino';
import { wordsOf } from './words.ts';

export type Log = Logger;

export interface LogOptions {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';
  /** A terminal that a person reads: it gets words instead. */
  readonly terminal?: Writable | undefined;
}

/** One JSON event a line on stderr, with stable keys; stdout belongs to results. Tokens never reach a log call. */
export function createLog({ level, terminal }: LogOptions): Log {
  return pino(
    {
      level,
      base: null, // no pid and host name: a line is read where it was written
      formatters: { level: (label) => ({ level: label }) },
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: {
        paths: ['*.password', '*.token', '*.secret', 'password', 'token', 'secret', 'authorization'],
        censor: '[redacted]',
      },
    },
    terminal === undefined
      ? destination({ fd: 2, sync: true })
      : { write: (line: string) => terminal.write(wordsOf(line)) },
  );
}

/** A log that says nothing, for tests and for library use. */
export function silentLog(): Log {
  return pino({ level: 'silent' });
}
