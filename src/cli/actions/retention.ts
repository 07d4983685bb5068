import { parseDigest } from '../../digest/index.ts';
import { WorkerError } from '../../errors/index.ts';
import { parseReference, type Repository } from '../../registry/index.ts';
import { type RetentionPolicy, type RetentionResult, runRetention } from '../../release/index.ts';
import type { CommandContext } from '../context.ts';
import { writeResult } from '../output.ts';
import { parseAge, parseCount } from '../parse-options.ts';
import { retentionDocument } from '../retention-behind.ts';
import { retentionContext, retentionLine } from '../retention-context.ts';
import { registryClient } from '../services.ts';

export interface RetentionFlags {
  readonly keep: string;
  readonly order: 'created' | 'version';
  readonly grace: string;
  readonly protect: readonly string[];
  readonly variant: readonly string[];
  readonly commitTags?: boolean;
  /** False for `--no-store`. */
  readonly store: readonly string[] | false;
  readonly storeIsEmpty?: boolean;
  readonly packagesApi?: string;
  readonly plainHttp?: boolean;
  readonly dryRun?: boolean;
}

/** `clipyard retention`. */
export async function retention(
  name: string,
  flags: RetentionFlags,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  const { stderr, stdout } = context;
  const policy = policyOf(flags);
  const repository = repositoryOf(name);
  await using stack = new AsyncDisposableStack();
  const client = stack.use(await registryClient(context, { plainHttp: flags.plainHttp ?? false }));
  const place = { client, repository, stores: flags.store, packagesApi: flags.packagesApi };
  const result = await runRetention(
    policy,
    { dryRun: flags.dryRun ?? false },
    retentionContext(
      place,
      (event) => stderr.write(json ? `${JSON.stringify({ event })}\n` : retentionLine(event)),
      context,
      stack,
    ),
  );
  writeResult(stdout, retentionDocument(result), json, () => textOf(result));
}

function policyOf(flags: RetentionFlags): RetentionPolicy {
  return {
    keep: parseCount(flags.keep, '--keep', { min: 1, max: 100_000 }),
    order: flags.order,
    graceMs: parseAge(flags.grace, '--grace'),
    protect: new Set(flags.protect.map(parseDigest)),
    variants: flags.variant,
    withCommitTags: flags.commitTags ?? false,
    storeIsEmpty: flags.storeIsEmpty ?? false,
  };
}

function repositoryOf(name: string): Repository {
  const { digest, registry, repository, tag } = parseReference(name);
  if (tag !== undefined || digest !== undefined)
    throw new WorkerError('USAGE', `${name}: a repository is needed, without a tag or digest`);
  return { registry, repository };
}

function textOf({ absent, deleted, dryRun, plan, skipped }: RetentionResult): string {
  const lines = [
    ...plan.keeps.map(({ digest, reason, tags }) => `keep    ${digest} ${tags.join(' ')}\n        ${reason}\n`),
    ...plan.deletions.map((each) =>
      each.kind === 'tag'
        ? `untag   ${each.tag} (${each.digest})\n        ${each.reason}\n`
        : `delete  ${each.digest} ${each.tags.join(' ')}\n        ${each.reason}\n`,
    ),
    ...skipped.map((each) => `skipped ${each.kind === 'tag' ? each.tag : each.digest}: ${each.because}\n`),
    `releases kept: ${plan.keptReleases.join(' ') || 'none'}\n`,
    `releases expired: ${plan.expiredReleases.join(' ') || 'none'}\n`,
    dryRun
      ? `would delete ${plan.deletions.length}, ${plan.keeps.length} manifests stay\n`
      : `deleted ${deleted.length}, ${absent.length} were gone, ${skipped.length} skipped, ${plan.keeps.length} manifests stay\n`,
  ];
  return lines.join('');
}
