import type { Writable } from 'node:stream';
import type { Settings } from '../config/index.ts';
import type { NativeToolPaths } from '../native/index.ts';
import type { Log } from '../telemetry/index.ts';

/** What a command gets from the composition root; nothing below reads the process's environment by itself. */
export interface CommandContext {
  readonly settings: Settings;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Log;
  readonly tools: NativeToolPaths;
  /** Root of the checkout or of the installed package. */
  readonly root: string;
  readonly signal: AbortSignal;
  readonly stdout: Writable;
  readonly stderr: Writable & { readonly isTTY?: boolean; readonly columns?: number };
}

/** What every command can be asked for. */
export interface GlobalOptions {
  readonly json?: boolean;
}
