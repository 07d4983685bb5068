import { WorkerError } from '../../errors/index.ts';
import type { TagContext } from './context.ts';

type Value = string | boolean;

/**
 * Fills in `${{ … }}` as GitHub does before anybody sees the line, for the part of its language that rules use: names of the
 * `github` context, string literals, `== != && || !`, brackets, and `startsWith endsWith contains format`. Text is
 * compared without case, as there. Throws TAG_RULE_INVALID for anything else.
 */
export function expandGithub(line: string, context: TagContext): string {
  let out = '';
  let at = 0;
  for (;;) {
    const start = line.indexOf('${{', at);
    if (start === -1) return out + line.slice(at);
    const parser = new Parser(line, start + 3, context);
    out += line.slice(at, start) + String(parser.whole());
    at = parser.at;
  }
}

class Parser {
  at: number;
  readonly #line: string;
  readonly #context: TagContext;

  constructor(line: string, at: number, context: TagContext) {
    this.#line = line;
    this.at = at;
    this.#context = context;
  }

  whole(): Value {
    const value = this.#or();
    this.#expect('}}');
    return value;
  }

  #or(): Value {
    let value = this.#and();
    while (this.#take('||')) {
      const other = this.#and();
      value = isTrue(value) ? value : other;
    }
    return value;
  }

  #and(): Value {
    let value = this.#equality();
    while (this.#take('&&')) {
      const other = this.#equality();
      value = isTrue(value) ? other : value;
    }
    return value;
  }

  #equality(): Value {
    let value = this.#unary();
    for (;;) {
      if (this.#take('==')) value = isSame(value, this.#unary());
      else if (this.#take('!=')) value = !isSame(value, this.#unary());
      else return value;
    }
  }

  #unary(): Value {
    this.#blanks();
    if (this.#line[this.at] === '!' && this.#line[this.at + 1] !== '=') {
      this.at += 1;
      return !isTrue(this.#unary());
    }
    return this.#primary();
  }

  #primary(): Value {
    if (this.#take('(')) {
      const value = this.#or();
      this.#expect(')');
      return value;
    }
    this.#blanks();
    if (this.#line[this.at] === "'") return this.#literal();
    const name = /^[A-Za-z_][A-Za-z0-9_.-]*/.exec(this.#line.slice(this.at))?.[0];
    if (name === undefined) throw this.#wrong('a name or a text in single quotes is missing');
    this.at += name.length;
    if (name === 'true' || name === 'false') return name === 'true';
    return this.#take('(') ? this.#call(name) : this.#named(name);
  }

  /** A quote inside is written twice. */
  #literal(): string {
    let out = '';
    for (let at = this.at + 1; at < this.#line.length; at++) {
      const character = this.#line[at] ?? '';
      if (character !== "'") out += character;
      else if (this.#line[at + 1] === "'") {
        out += "'";
        at += 1;
      } else {
        this.at = at + 1;
        return out;
      }
    }
    throw this.#wrong('a text is not closed');
  }

  #call(name: string): Value {
    const values: Value[] = [];
    if (!this.#take(')')) {
      do values.push(this.#or());
      while (this.#take(','));
      this.#expect(')');
    }
    const [first = '', second = ''] = values.map((value) => String(value).toLowerCase());
    const two = (result: () => boolean) => {
      if (values.length !== 2) throw this.#wrong(`${name} takes two values`);
      return result();
    };
    switch (name.toLowerCase()) {
      case 'startswith':
        return two(() => first.startsWith(second));
      case 'endswith':
        return two(() => first.endsWith(second));
      case 'contains':
        return two(() => first.includes(second));
      case 'format':
        return this.#format(values);
      default:
        throw this.#wrong(`there is no function ${name}`);
    }
  }

  /** `{0}` is the first value; `{{` and `}}` are single braces. */
  #format([template = '', ...values]: readonly Value[]): string {
    return String(template).replaceAll(/\{\{|\}\}|\{([0-9]+)\}/g, (match, index: string | undefined) => {
      if (index === undefined) return match.slice(1);
      const value = values[Number(index)];
      if (value === undefined) throw this.#wrong(`format has no value for ${match}`);
      return String(value);
    });
  }

  #named(name: string): Value {
    const { event, ref, sha } = this.#context;
    switch (name.toLowerCase()) {
      case 'github.ref':
        return ref;
      case 'github.ref_name':
        return ref.replace(/^refs\/(?:heads|tags|pull)\//, '');
      case 'github.ref_type':
        return ref.startsWith('refs/tags/') ? 'tag' : 'branch';
      case 'github.event_name':
        return event;
      case 'github.sha':
        return sha;
      default:
        throw this.#wrong(`${name} is not known here`);
    }
  }

  #blanks(): void {
    while (this.#line[this.at] === ' ' || this.#line[this.at] === '\t') this.at += 1;
  }

  #take(token: string): boolean {
    this.#blanks();
    if (!this.#line.startsWith(token, this.at)) return false;
    this.at += token.length;
    return true;
  }

  #expect(token: string): void {
    if (!this.#take(token)) throw this.#wrong(`${token} is missing`);
  }

  #wrong(what: string): WorkerError {
    return new WorkerError('TAG_RULE_INVALID', `\${{ … }} at column ${this.at + 1}: ${what}`);
  }
}

function isTrue(value: Value): boolean {
  return value !== false && value !== '';
}

function isSame(one: Value, other: Value): boolean {
  if (typeof one === 'string' && typeof other === 'string') return one.toLowerCase() === other.toLowerCase();
  return one === other;
}
