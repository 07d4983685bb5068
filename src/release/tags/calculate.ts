import { toWorkerError, WorkerError } from '../../errors/index.ts';
import { candidateOf } from './candidate.ts';
import { effectiveContext, type TagContext } from './context.ts';
import { saysSomething } from './fields.ts';
import { type Flavor, parseFlavor } from './flavor.ts';
import { expandGithub } from './github-expression.ts';
import { parseImages } from './images.ts';
import { describeImage } from './labels.ts';
import { globalNames } from './names.ts';
import { DEFAULT_RULES, parseRule, type Rule } from './rule.ts';
import { expand, type Names } from './template.ts';

/** What is asked of a calculation; lines as they were written, in order. */
export interface TagRequest {
  readonly images: readonly string[];
  readonly rules: readonly string[];
  readonly flavors: readonly string[];
  readonly labels: readonly string[];
  readonly annotations: readonly string[];
  readonly shortShaLength: number;
  /** Pull requests are known by their own commit, not by the merge's. */
  readonly prHeadSha: boolean;
}

export interface TagResult {
  /** Image by image, in order; bare names when no image was given. */
  readonly tags: readonly string[];
  /** The first tag. */
  readonly version: string | undefined;
  readonly latest: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Of each image; of the name "" when none was given. */
  readonly byImage: ReadonlyMap<string, readonly string[]>;
  /** In the order the rules were applied. */
  readonly explanations: readonly RuleExplanation[];
}

export interface RuleExplanation {
  readonly rule: string;
  readonly priority: number;
  /** undefined: it gave none. */
  readonly tag: string | undefined;
  /** Why it gave none, or what is special. */
  readonly reason: string;
  /** Something that was probably meant otherwise. */
  readonly warning: boolean;
}

/** OCI distribution-spec 1.1, "Pulling manifests". */
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;

/**
 * From an event and rules to tags, labels and annotations: pure, no network. Throws TAG_RULE_INVALID with a line for each rule
 * that is wrong, TAG_INVALID when a tag breaks the registries' grammar; then there is no tag at all.
 */
export function calculateTags(request: TagRequest, given: TagContext): TagResult {
  const context = effectiveContext(given, request);
  const github = (line: string) => expandGithub(line, context);
  const flavor = parseFlavor(request.flavors.map(github));
  const images = parseImages(request.images.map(github));
  const names = globalNames(context, request);
  const { explanations, latest, tags } = applyRules(readRules(request.rules, github), flavor, {
    context,
    names,
    shortShaLength: request.shortShaLength,
  });
  if (latest) pushOnce(tags, latestTag(flavor, names));
  const [version] = tags;
  const custom = (lines: readonly string[]) => lines.map((line) => expand(github(line), names));
  const description = { context, version };
  const byImage = new Map((images.length === 0 ? [''] : images).map((image) => [image, tags]));
  return {
    tags: [...byImage].flatMap(([image, own]) => own.map((tag) => (image === '' ? tag : `${image}:${tag}`))),
    version,
    latest,
    labels: describeImage(description, custom(request.labels)),
    annotations: describeImage(description, custom(request.annotations)),
    byImage,
    explanations,
  };
}

/** All that is wrong is told at once, a line each, with the rule and its place. */
function readRules(lines: readonly string[], github: (line: string) => string): readonly Rule[] {
  const said = lines.flatMap((line, at) => (saysSomething(line) ? [{ line: line.trim(), number: at + 1 }] : []));
  if (said.length === 0) return DEFAULT_RULES.map((line) => parseRule(line, line));
  const problems: string[] = [];
  const rules = said.flatMap(({ line, number }) => {
    try {
      return [parseRule(github(line), line)];
    } catch (thrown) {
      problems.push(`rule ${number} "${line}": ${toWorkerError(thrown, 'read the rule').message}`);
      return [];
    }
  });
  if (problems.length > 0)
    throw new WorkerError('TAG_RULE_INVALID', problems.join('\n'), { problems: problems.length });
  // Array.prototype.toSorted is stable: equal priorities stay in written order.
  return rules.toSorted((one, other) => other.priority - one.priority);
}

interface RuleInput {
  readonly context: TagContext;
  readonly names: Names;
  readonly shortShaLength: number;
}

interface Applied {
  readonly tags: string[];
  readonly latest: boolean;
  readonly explanations: readonly RuleExplanation[];
}

function applyRules(rules: readonly Rule[], flavor: Flavor, input: RuleInput): Applied {
  const tags: string[] = [];
  let latest: boolean | undefined;
  const explanations: RuleExplanation[] = [];
  const problems: string[] = [];
  for (const rule of rules) {
    const explain = (tag: string | undefined, reason: string, warning = false) =>
      explanations.push({ rule: rule.text, priority: rule.priority, tag, reason, warning });
    try {
      const candidate = applyRule(rule, flavor, input);
      if ('none' in candidate) {
        explain(undefined, candidate.none, candidate.warn ?? false);
        continue;
      }
      const isNew = pushOnce(tags, candidate.value);
      const decides = latest === undefined;
      latest ??= flavor.latest === 'auto' ? candidate.latest : flavor.latest === 'true';
      explain(candidate.value, reasonOf(isNew, decides, latest, flavor));
    } catch (thrown) {
      const error = toWorkerError(thrown, 'apply the rule');
      problems.push(`rule "${rule.text}": ${error.message}`);
      if (error.code === 'TAG_INVALID') throw new WorkerError('TAG_INVALID', problems.join('\n'));
    }
  }
  if (problems.length > 0)
    throw new WorkerError('TAG_RULE_INVALID', problems.join('\n'), { problems: problems.length });
  return { tags, latest: latest ?? false, explanations };
}

function reasonOf(isNew: boolean, decides: boolean, latest: boolean, flavor: Flavor): string {
  const parts = [isNew ? '' : 'another rule gave it before'];
  if (decides)
    parts.push(
      `it decides on latest: ${latest ? 'yes' : 'no'}${flavor.latest === 'auto' ? '' : ', as the flavor says'}`,
    );
  return parts.filter((part) => part !== '').join('; ');
}

function applyRule(rule: Rule, flavor: Flavor, input: RuleInput): ReturnType<typeof candidateOf> {
  const { names } = input;
  const enable = expand(rule.enable, names);
  if (enable !== 'true' && enable !== 'false')
    throw new WorkerError('TAG_RULE_INVALID', `enable "${enable}" is neither true nor false`);
  if (enable === 'false') return { none: 'it is switched off' };
  const candidate = candidateOf(rule, input);
  if ('none' in candidate) return candidate;
  if (candidate.value === '') return { none: 'it gives an empty text' };
  const prefix = rule.prefix ?? candidate.ownPrefix ?? flavor.prefix;
  const suffix = rule.suffix ?? flavor.suffix;
  return { ...candidate, value: tagOf(`${expand(prefix, names)}${candidate.value}${expand(suffix, names)}`) };
}

function latestTag(flavor: Flavor, names: Names): string {
  const prefix = flavor.prefixLatest ? expand(flavor.prefix, names) : '';
  const suffix = flavor.suffixLatest ? expand(flavor.suffix, names) : '';
  return tagOf(`${prefix}latest${suffix}`);
}

/** What no tag may hold becomes `-`. What still is no tag is an error: a tag that was cut would stand for two things. */
function tagOf(text: string): string {
  const tag = text.replaceAll(/[^A-Za-z0-9._-]+/g, '-');
  if (!TAG.test(tag))
    throw new WorkerError(
      'TAG_INVALID',
      `"${tag}" is no tag: it begins with a letter, a digit or _ and has at most 128 characters`,
      { tag },
    );
  return tag;
}

function pushOnce(tags: string[], tag: string): boolean {
  if (tags.includes(tag)) return false;
  tags.push(tag);
  return true;
}
