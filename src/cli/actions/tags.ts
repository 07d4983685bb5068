import { randomUUID } from 'node:crypto';
import { appendFile, readFile } from 'node:fs/promises';
import { text as readText } from 'node:stream/consumers';
import { systemCodeOf, WorkerError } from '../../errors/index.ts';
import {
  calculateTags,
  githubTagContext,
  PRESETS,
  type PresetName,
  parseTagContext,
  type TagContext,
  type TagRequest,
  type TagResult,
} from '../../release/index.ts';
import type { CommandContext } from '../context.ts';
import { formatTable, writeResult } from '../output.ts';

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
  const result = calculateTags(requestOf(flags), await contextOf(flags, context));
  for (const { reason, rule, warning } of result.explanations)
    if (warning) context.log.warn({ rule, reason }, 'a rule gave no tag');
  if (flags.output === 'github') await writeGithubOutput(result, context.env);
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

async function contextOf(flags: TagsFlags, { env }: CommandContext): Promise<TagContext> {
  const now = flags.now === undefined ? new Date() : new Date(flags.now);
  if (Number.isNaN(now.getTime())) throw new WorkerError('USAGE', `--now ${flags.now ?? ''} is no time of ISO 8601`);
  if (flags.context === '-') return parseTagContext(await readText(process.stdin), now);
  if (flags.context !== undefined) return parseTagContext(await readContextFile(flags.context), now);
  const payload = env['GITHUB_EVENT_PATH'];
  return githubTagContext(env, payload === undefined ? undefined : await readContextFile(payload), now);
}

async function readContextFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new WorkerError(
      systemCodeOf(cause) === 'ENOENT' ? 'PATH_NOT_FOUND' : 'IO_FAILED',
      `the context ${path} cannot be read`,
      { path },
      { cause },
    );
  }
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

/** Outputs of a job: values may have lines, between marks that nobody can guess. */
async function writeGithubOutput(result: TagResult, env: CommandContext['env']): Promise<void> {
  const path = env['GITHUB_OUTPUT'];
  if (path === undefined)
    throw new WorkerError('USAGE', '--output github: GITHUB_OUTPUT is not set; this is no GitHub Actions job');
  const pairs = (values: Readonly<Record<string, string>>) =>
    Object.entries(values).map(([key, value]) => `${key}=${value}`);
  const outputs = {
    tags: result.tags.join('\n'),
    version: result.version ?? '',
    latest: String(result.latest),
    labels: pairs(result.labels).join('\n'),
    annotations: pairs(result.annotations).join('\n'),
    json: JSON.stringify(Object.fromEntries(result.byImage)),
  };
  const mark = `clipyard-${randomUUID()}`;
  const text = Object.entries(outputs).map(([name, value]) => `${name}<<${mark}\n${value}\n${mark}\n`);
  await appendFile(path, text.join(''));
}
