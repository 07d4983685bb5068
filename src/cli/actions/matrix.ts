import { dirname, resolve } from 'node:path';
import type { BuildResult } from '../../jobs/index.ts';
import type { RegistryClient } from '../../registry/index.ts';
import {
  calculateMatrix,
  createRepositoryLock,
  expectationsOf,
  type MatrixConfig,
  type MatrixEventReport,
  type MatrixPlan,
  type MatrixResult,
  type MatrixScan,
  type MatrixTags,
  matrixOutputs,
  parseMatrixConfig,
  previewMatrix,
  type RetentionPolicy,
  requireVerified,
  retagImage,
  runMatrix,
  type TagContext,
  type TagToSet,
  variantTag,
  verifyTags,
} from '../../release/index.ts';
import type { CommandContext } from '../context.ts';
import { findingTable } from '../finding-table.ts';
import { writeGithubOutput } from '../github-output.ts';
import { type MatrixScanFlags, scanBuilds, wantsScan } from '../matrix-scan.ts';
import { formatBytes, formatTable, writeResult } from '../output.ts';
import { parseSize } from '../parse-options.ts';
import { createProgress, type ProgressMode } from '../progress/index.ts';
import { documentOfBehind, plannedRetention, runRetentionBehind, textOfBehind } from '../retention-behind.ts';
import { scanSettings } from '../scan-flags.ts';
import { registryClient } from '../services.ts';
import { storedSize } from '../stored-size.ts';
import { readNamedFile, type TagContextFlags, tagContextOf } from '../tag-context.ts';
import { type VariantBuildFlags, variantBuilder } from '../variant-builds.ts';

export interface MatrixFlags extends TagContextFlags {
  readonly config: string;
  readonly registry?: string;
  readonly plainHttp?: boolean;
  readonly output?: 'github';
}

export interface MatrixRunFlags extends MatrixFlags, VariantBuildFlags, MatrixScanFlags {
  readonly dryRun?: boolean;
  readonly explain?: boolean;
  readonly budget?: string;
  readonly progress: ProgressMode;
  readonly retention?: string;
  readonly packagesApi?: string;
}

interface Asked {
  readonly config: MatrixConfig;
  readonly given: TagContext;
  readonly matrix: MatrixTags;
}

/** `clipyard matrix tags`: asks no network. */
export async function matrixTags(flags: MatrixFlags, json: boolean, context: CommandContext): Promise<void> {
  const asked = await askedOf(flags, context);
  const document = documentOf(asked);
  writeResult(context.stdout, document, json, () => `${tagTable(asked.matrix)}${outputLines(asked)}`);
}

/** `clipyard matrix`. */
export async function matrixRun(flags: MatrixRunFlags, json: boolean, context: CommandContext): Promise<void> {
  const budgetBytes = flags.budget === undefined ? undefined : parseSize(flags.budget, '--budget');
  const asked = await askedOf(flags, context);
  await using client = await registryClient(context, flags);
  if (flags.dryRun === true) {
    const plan = await previewMatrix(asked.config, asked.matrix, asked.given, { client, signal: context.signal });
    writeResult(
      context.stdout,
      { dryRun: true, ...documentOf(asked), plan: plan.tags, variants: plan.variants },
      json,
      () => planText(asked, plan),
    );
    return;
  }
  const { config, matrix } = asked;
  const stores = flags.store === undefined ? [] : [flags.store];
  const retained = { client, repository: config.target, packagesApi: flags.packagesApi, stores };
  const policy = matrix.push ? await plannedRetention(flags.retention, config.retention, retained, context) : undefined;
  const { builds, result, scan } = await build(asked, flags, json, { ...context, client });
  const behind = await runRetentionBehind(policy && withVariants(policy, config), retained, json, context);
  const stored = storedSize(builds.values());
  if (budgetBytes !== undefined && stored.bytes > budgetBytes)
    context.log.warn({ sizeBytes: stored.bytes, budgetBytes }, 'the images take more than the budget in the registry');
  const document = {
    ...documentOf(asked),
    ...result,
    builds: Object.fromEntries(builds),
    stored,
    retention: documentOfBehind(behind),
  };
  writeResult(context.stdout, { ...document, ...(scan !== undefined && { scan }) }, json, () =>
    [
      scan === undefined ? '' : findingTable(scan),
      summary(asked, result, flags.explain ?? false),
      builds.size === 0 ? '' : `stored   ${formatBytes(stored.bytes)} in ${stored.layers} layers\n`,
      textOfBehind(behind),
    ].join(''),
  );
}

/** `clipyard matrix verify`. */
export async function matrixVerify(flags: MatrixFlags, json: boolean, context: CommandContext): Promise<void> {
  const { signal } = context;
  const { config, matrix } = await askedOf(flags, context);
  await using client = await registryClient(context, flags);
  const expectations = matrix.push ? await expectationsOf(config, matrix, { client, signal }) : [];
  const verified = await verifyTags(config, expectations, { client, signal });
  requireVerified(verified);
  writeResult(context.stdout, { verified }, json, () =>
    formatTable(
      ['tag', 'variant', 'digest', 'platforms'],
      verified.map(({ digest, platforms, tag, variant }) => [
        tag,
        variant,
        (digest ?? '').slice(7, 19),
        platforms.join(', '),
      ]),
    ),
  );
}

/** The matrix knows its variants: no tag has to tell. */
function withVariants(policy: RetentionPolicy, config: MatrixConfig): RetentionPolicy {
  return { ...policy, variants: [...policy.variants, ...config.variants.map((each) => variantTag(config, each))] };
}

async function askedOf(flags: MatrixFlags, context: CommandContext): Promise<Asked> {
  const { registry } = flags;
  const document = await readNamedFile(flags.config, 'the configuration');
  const config = parseMatrixConfig(document, registry === undefined ? {} : { registry });
  const given = await tagContextOf(flags, context);
  const asked = { config, given, matrix: calculateMatrix(config, given) };
  if (flags.output === 'github') await writeGithubOutput(matrixOutputs(config, asked.matrix), context.env);
  return asked;
}

interface Run {
  readonly result: MatrixResult;
  readonly builds: ReadonlyMap<string, BuildResult>;
  readonly scan?: MatrixScan | undefined;
}

async function build(
  { config, given, matrix }: Asked,
  flags: MatrixRunFlags,
  json: boolean,
  context: CommandContext & { readonly client: RegistryClient },
): Promise<Run> {
  const { client, settings, signal } = context;
  const builds = new Map<string, BuildResult>();
  const scanning = wantsScan(flags) ? await scanSettings(flags, context) : undefined;
  if (matrix.event.kind === 'none') return { builds, result: { images: [], tags: [], verified: [] } };
  // One writer: what is read before the builds holds until the last tag.
  await using _held = matrix.push
    ? await createRepositoryLock(settings.stateDir).hold(config.target, { signal })
    : undefined;
  using progress = createProgress({ mode: json ? 'json' : flags.progress, stderr: context.stderr });
  const report = progress.report;
  await using builder = await variantBuilder(config, dirname(resolve(flags.config)), flags, context, {
    client,
    report,
  });
  let scan: MatrixScan | undefined;
  const result = await runMatrix(config, matrix, given, {
    client,
    signal,
    report: (event) => context.stderr.write(`${json ? JSON.stringify(eventDocument(event)) : eventLine(event)}\n`),
    build: async (request, options) => {
      if (!matrix.push) return await builder.keep(request, options);
      const built = await builder.publish(request, options);
      builds.set(request.variant, built);
      return built.manifestDigest;
    },
    approve: async () => {
      if (scanning === undefined) return;
      scan = await scanBuilds({ builder, builds, client, config, given, scanning }, flags, context);
    },
    setTag: (target) => setTag(config, target, { client, signal }),
  });
  return { builds, result, scan };
}

async function setTag(
  { target: repository }: MatrixConfig,
  { digest, expected, permanent, tag }: TagToSet,
  registry: { readonly client: RegistryClient; readonly signal: AbortSignal },
): Promise<boolean> {
  const { tags } = await retagImage({
    ...registry,
    repository,
    source: digest,
    targets: [{ tag, expected, permanent }],
  });
  return tags.some(({ written }) => written);
}

function documentOf({ config, matrix }: Asked): object {
  return {
    event: matrix.event,
    push: matrix.push,
    outputs: matrixOutputs(config, matrix),
    assignments: matrix.assignments,
  };
}

function eventDocument({ type, ...rest }: MatrixEventReport): object {
  return { event: `matrix-${type}`, ...rest };
}

function eventLine(event: MatrixEventReport): string {
  if (event.type === 'variant') return `variant ${event.variant}: ${event.state}`;
  return `tag ${event.tag}: ${event.digest.slice(7, 19)} ${event.state}`;
}

function tagTable({ assignments, event }: MatrixTags): string {
  if (event.kind === 'none') return `nothing to do: ${event.reason}\n`;
  return formatTable(
    ['tag', 'variant', 'what'],
    assignments.map(({ role, tag, variant }) => [tag, variant, role]),
  );
}

function outputLines({ config, matrix }: Asked): string {
  const lines = Object.entries(matrixOutputs(config, matrix)).map(([name, value]) => `${name}=${value}\n`);
  return `\n${lines.join('')}`;
}

function planText({ matrix }: Asked, { tags, variants }: MatrixPlan): string {
  if (matrix.event.kind === 'none') return `nothing to do: ${matrix.event.reason}\n`;
  const rows = tags.map(({ action, before, reason, role, tag, variant }) => [
    tag,
    variant,
    role,
    (before ?? 'absent').replace(/^sha256:(.{12}).*$/, '$1'),
    action,
    reason,
  ]);
  const builds = variants.map(({ variant, work }) => `${variant} ${work}`);
  return `variants: ${builds.join(', ')}\n\n${formatTable(['tag', 'variant', 'what', 'now', 'does', 'why'], rows)}`;
}

function summary({ matrix }: Asked, { tags }: MatrixResult, explain: boolean): string {
  if (matrix.event.kind === 'none') return `nothing to do: ${matrix.event.reason}\n`;
  const rows = tags.map(({ digest, reason, role, tag, variant, written }) => [
    tag,
    variant,
    digest.slice(7, 19),
    written ? 'written' : matrix.push ? 'unchanged' : 'local',
    ...(explain ? [role, reason] : []),
  ]);
  return formatTable(['tag', 'variant', 'image', 'state', ...(explain ? ['what', 'why'] : [])], rows);
}
