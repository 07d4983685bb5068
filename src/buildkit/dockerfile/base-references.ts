import { instructionsOf } from './dockerfile-lines.ts';
import { expand } from './expand.ts';

/** The images that a Dockerfile names. */
export interface BaseReferences {
  /** As they are written, variables replaced, each once. */
  readonly references: readonly string[];
  /** Words that cannot be known from the Dockerfile alone: variables of the platform, forms we do not read. */
  readonly unknown: readonly string[];
}

export interface ReadOptions {
  readonly buildArgs: Readonly<Record<string, string>>;
  /** Names that stand for something else than an image. */
  readonly namedContexts: readonly string[];
}

/** What FROM, COPY and ADD `--from=` and RUN `--mount=…,from=` read from registries. */
export function baseReferences(dockerfile: string, { buildArgs, namedContexts }: ReadOptions): BaseReferences {
  const globals = new Map<string, string>();
  const stages = new Set<string>();
  const references = new Set<string>();
  const unknown = new Set<string>();
  let stage = -1;
  const add = (word: string, values: ReadonlyMap<string, string>) => {
    const name = expand(unquoted(word), values);
    if (name === undefined) unknown.add(word);
    else if (isImage(name, stages, namedContexts)) references.add(name);
  };
  for (const { name, rest } of instructionsOf(dockerfile)) {
    if (name === 'ARG' && stage === -1) {
      for (const [key, value] of declared(rest)) {
        const given = Object.hasOwn(buildArgs, key) ? buildArgs[key] : expand(value ?? '$', globals);
        if (given === undefined) globals.delete(key);
        else globals.set(key, given);
      }
    } else if (name === 'FROM') {
      const { flags, words } = split(rest);
      const platform = flags.find(([flag]) => flag === 'platform')?.[1];
      // An image chosen by a platform is still one reference: its index.
      if (words[0] !== undefined) add(words[0], globals);
      if (platform !== undefined && expand(platform, globals) === undefined && !platform.includes('PLATFORM'))
        unknown.add(platform);
      stage += 1;
      stages.add(String(stage));
      if (words[1]?.toUpperCase() === 'AS' && words[2] !== undefined) stages.add(words[2].toLowerCase());
    } else if (name === 'COPY' || name === 'ADD') {
      for (const [flag, value] of split(rest).flags) if (flag === 'from') add(value, NO_VALUES);
    } else if (name === 'RUN') {
      for (const [flag, value] of split(rest).flags) {
        const from = flag === 'mount' ? /(?:^|,)from=([^,]*)/.exec(value)?.[1] : undefined;
        if (from !== undefined) add(from, NO_VALUES);
      }
    }
  }
  return { references: [...references], unknown: [...unknown] };
}

const NO_VALUES: ReadonlyMap<string, string> = new Map();

function isImage(name: string, stages: ReadonlySet<string>, namedContexts: readonly string[]): boolean {
  return name !== '' && name !== 'scratch' && !stages.has(name.toLowerCase()) && !namedContexts.includes(name);
}

/** `NAME=value NAME …` */
function declared(rest: string): readonly (readonly [string, string | undefined])[] {
  return [...rest.matchAll(/([A-Za-z_]\w*)(?:=("[^"]*"|'[^']*'|\S*))?/g)].map(([, key = '', value]) => [
    key,
    value === undefined ? undefined : unquoted(value),
  ]);
}

/** The flags at the start of an instruction, and the words behind them. */
function split(rest: string): {
  readonly flags: readonly (readonly [string, string])[];
  readonly words: readonly string[];
} {
  const words = rest.split(/\s+/).filter((word) => word !== '');
  const count = words.findIndex((word) => !word.startsWith('--'));
  const flags = (count === -1 ? words : words.slice(0, count)).map((word) => {
    const equals = word.indexOf('=');
    return equals === -1 ? ([word.slice(2), ''] as const) : ([word.slice(2, equals), word.slice(equals + 1)] as const);
  });
  return { flags, words: count === -1 ? [] : words.slice(count) };
}

function unquoted(word: string): string {
  return word.replace(/^(["'])(.*)\1$/, '$2');
}
