import { plainText } from './plain-text.ts';

export type Level = 'plain' | 'info' | 'debug' | 'warning' | 'error';

/** Where a command's lines go. */
export interface Console {
  /** A line without a level, as headings and steps are. */
  say(text: string): void;
  info(text: string): void;
  /** Only said where it was asked for. */
  debug(text: string): void;
  warning(text: string): void;
  error(text: string): void;
}

export interface ConsoleOptions {
  readonly debug: boolean;
  readonly pictures: boolean;
  /** Gets whole lines, without the line end. */
  readonly write: (line: string, level: Level) => void;
}

const PREFIXES: Readonly<Record<Level, string>> = {
  plain: '',
  info: '[INFO] ',
  debug: '[DEBUG] ',
  warning: '[WARNING] ',
  error: '[ERROR] ',
};
/** C0, DEL and C1 but the line end: an answer of a registry must not steer the terminal. */
const CONTROL = /(?!\n)\p{Cc}/gu;

export function createConsole({ debug, pictures, write }: ConsoleOptions): Console {
  const at = (level: Level) => (text: string) => {
    if (level === 'debug' && !debug) return;
    const line = `${PREFIXES[level]}${text.replaceAll(CONTROL, '\u{fffd}')}`;
    write(pictures ? line : plainText(line), level);
  };
  return { say: at('plain'), info: at('info'), debug: at('debug'), warning: at('warning'), error: at('error') };
}
