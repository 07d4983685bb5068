import { WorkerError } from '../../errors/index.ts';
import { parseLine, saysSomething } from './fields.ts';

/** What holds for all tags of a run. */
export interface Flavor {
  /** `auto`: the first rule that gives a tag decides. */
  readonly latest: 'auto' | 'true' | 'false';
  readonly prefix: string;
  /** The prefix goes on `latest` too. */
  readonly prefixLatest: boolean;
  readonly suffix: string;
  readonly suffixLatest: boolean;
}

/** Throws TAG_RULE_INVALID. */
export function parseFlavor(lines: readonly string[]): Flavor {
  let flavor: Flavor = { latest: 'auto', prefix: '', prefixLatest: false, suffix: '', suffixLatest: false };
  for (const line of lines.filter(saysSomething)) flavor = { ...flavor, ...parseFlavorLine(line) };
  return flavor;
}

function parseFlavorLine(line: string): Partial<Flavor> {
  const wrong = (what: string) => new WorkerError('TAG_RULE_INVALID', `flavor "${line.trim()}": ${what}`);
  let flavor: Partial<Flavor> = {};
  let last: 'prefix' | 'suffix' | undefined;
  for (const { key, value } of parseLine(line)) {
    switch (key) {
      case 'latest':
        if (value !== 'auto' && value !== 'true' && value !== 'false')
          throw wrong(`latest "${value}" is none of auto, true, false`);
        flavor = { ...flavor, latest: value };
        break;
      case 'prefix':
      case 'suffix':
        last = key;
        flavor = { ...flavor, [key]: value, [`${key}Latest`]: false };
        break;
      case 'onlatest':
        if (value !== 'true' && value !== 'false') throw wrong(`onlatest "${value}" is neither true nor false`);
        if (last === undefined) throw wrong('onlatest stands behind a prefix or a suffix');
        flavor = { ...flavor, [`${last}Latest`]: value === 'true' };
        break;
      default:
        throw wrong(`there is no "${key ?? value}"`);
    }
  }
  return flavor;
}
