import { WorkerError } from '../../errors/index.ts';
import { calculateTags, PRESETS, type PresetName, type TagRequest, type TagResult } from '../../release/index.ts';
import type { CommandContext } from '../context.ts';
import { writeGithubOutput } from '../github-output.ts';
import { formatTable, writeResult } from '../output.ts';
import { tagContextOf } from '../tag-context.ts';

export interface TagsFlags {
  readonly context?: string;
  readonly image: readonly string[];
  readonly rule: readonly string[];
  readonly flavor: readonly string[];
  readonly label: readonly string[];
  readonly annotation: readonly string[];
  readonly preset?: PresetName;
  readonly shortShaLength: string;
  readonly prHeadSha?: boolean;
  readonly now?: string;
  readonly explain?: boolean;
  readonly output?: 'github';
}

/** `clipyard tags`. */
export async function tags(flags: TagsFlags, json: boolean, context: CommandContext): Promise<void> {
  const result = calculateTags(requestOf(flags), await tagContextOf(flags, context));
  for (const { reason, rule, warning } of result.explanations)
    if (warning) context.log.warn({ rule, reason }, 'a rule gave no tag');
  if (flags.output === 'github') await writeGithubOutput(githubOutputs(result), context.env);
  writeResult(context.stdout, documentOf(result, flags), json, () => textOf(result, flags));
}

function requestOf(flags: TagsFlags): TagRequest {
  const preset = flags.preset === undefined ? { rules: [], flavors: [] } : PRESETS[flags.preset];
  if (!/^[1-9][0-9]{0,3}$/.test(flags.shortShaLength))
    throw new WorkerError('USAGE', `--short-sha-length ${flags.shortShaLength} is no number above 0`);
  return {
    images: flags.image.flatMap(linesOf),
    rules: [...preset.rules, ...flags.rule.flatMap(linesOf)],
    flavors: [...preset.flavors, ...flags.flavor.flatMap(linesOf)],
    labels: flags.label.flatMap(linesOf),
    annotations: flags.annotation.flatMap(linesOf),
    shortShaLength: Number(flags.shortShaLength),
    prHeadSha: flags.prHeadSha ?? false,
  };
}

/** A whole list of lines may stand in one option, as workflow files have them. */
function linesOf(value: string): readonly string[] {
  return value.split('\n');
}

function documentOf(
  { annotations, byImage, explanations, labels, latest, tags: all, version }: TagResult,
  flags: TagsFlags,
): object {
  return {
    tags: all,
    version: version ?? null,
    latest,
    labels,
    annotations,
    json: Object.fromEntries(byImage),
    ...(flags.explain === true && { explanations }),
  };
}

function textOf({ explanations, tags: all }: TagResult, { explain }: TagsFlags): string {
  const lines = all.map((tag) => `${tag}\n`).join('');
  if (explain !== true) return lines;
  const rows = explanations.map(({ priority, reason, rule, tag }) => [tag ?? '-', String(priority), rule, reason]);
  return `${lines}\n${formatTable(['tag', 'priority >', 'rule', 'why'], rows)}`;
}

function githubOutputs(result: TagResult): Readonly<Record<string, string>> {
  const pairs = (values: Readonly<Record<string, string>>) =>
    Object.entries(values).map(([key, value]) => `${key}=${value}`);
  return {
    tags: result.tags.join('\n'),
    version: result.version ?? '',
    latest: String(result.latest),
    labels: pairs(result.labels).join('\n'),
    annotations: pairs(result.annotations).join('\n'),
    json: JSON.stringify(Object.fromEntries(result.byImage)),
  };
}
