/** An instruction on one line, without comments and continuations. */
export interface Instruction {
  readonly name: string;
  readonly rest: string;
}

const HEREDOC = /<<(-?)\s*(["']?)([A-Za-z0-9_.-]+)\2/g;

/**
 * The instructions of a Dockerfile, as its reference describes lines: escapes (`# escape=`), comments, here-documents. Not a
 * parser that refuses anything: BuildKit is that.
 */
export function instructionsOf(dockerfile: string): readonly Instruction[] {
  const lines = dockerfile.replace('\ufeff', '').split(/\r?\n/);
  const mark = escapeOf(lines);
  const instructions: Instruction[] = [];
  for (let at = 0; at < lines.length; ) {
    const { next, text } = logicalLine(lines, at, mark);
    at = next;
    const [, name, rest = ''] = /^\s*([A-Za-z]+)(?:\s+(.*))?$/s.exec(text) ?? [];
    if (name === undefined) continue;
    for (const [, dash, , word] of rest.matchAll(HEREDOC)) {
      while (at < lines.length && (dash === '-' ? lines[at]?.replace(/^\t+/, '') : lines[at]) !== word) at += 1;
      at += 1;
    }
    instructions.push(unwrapped(name.toUpperCase(), rest.trim()));
  }
  return instructions;
}

function logicalLine(lines: readonly string[], start: number, mark: string): { text: string; next: number } {
  let [text, at] = ['', start];
  for (; at < lines.length; at += 1) {
    const line = lines[at] ?? '';
    if (/^\s*#/.test(line) || (text !== '' && line.trim() === '')) continue;
    const trimmed = line.trimEnd();
    if (!trimmed.endsWith(mark)) return { text: text + line, next: at + 1 };
    text += trimmed.slice(0, -1);
  }
  return { text, next: at };
}

/** Directives stand before anything else. */
function escapeOf(lines: readonly string[]): string {
  for (const line of lines) {
    const [, name, value] = /^\s*#\s*([A-Za-z]+)\s*=\s*(\S+)\s*$/.exec(line) ?? [];
    if (name === undefined) break;
    if (name.toLowerCase() === 'escape') return value === '`' ? '`' : '\\';
  }
  return '\\';
}

/** What an image does to those built on it is an instruction of its own. */
function unwrapped(name: string, rest: string): Instruction {
  const [, inner, innerRest = ''] = name === 'ONBUILD' ? (/^([A-Za-z]+)\s*(.*)$/s.exec(rest) ?? []) : [];
  return inner === undefined ? { name, rest } : { name: inner.toUpperCase(), rest: innerRest };
}
