/** A log line as pino writes it. */
interface LogLine {
  readonly level: string;
  readonly msg?: string;
  readonly [field: string]: unknown;
}

/** Fields that say nothing at a terminal. */
const SILENT_FIELDS: ReadonlySet<string> = new Set(['level', 'time', 'msg']);
/** Where a progress line may stand. */
const CLEAR_LINE = '\r\x1b[2K';
/** C0, DEL and C1: a name from an image must not steer the terminal. */
const CONTROL = /\p{Cc}/gu;

/** A JSON log line for a person at a terminal: `clipyard: warning: what happened (key value, key value)`. */
export function wordsOf(line: string): string {
  const { level, msg = '', ...fields } = JSON.parse(line) as LogLine;
  const said = Object.entries(fields)
    .filter(([name, value]) => !SILENT_FIELDS.has(name) && value !== null && value !== '')
    .map(([name, value]) => `${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const prefix = level === 'warn' ? 'warning: ' : level === 'info' ? '' : `${level}: `;
  const text = `clipyard: ${prefix}${msg}${said.length === 0 ? '' : ` (${said.join(', ')})`}`;
  return `${CLEAR_LINE}${text.replace(CONTROL, '\u{fffd}')}\n`;
}
