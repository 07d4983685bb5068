import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseDigest } from '../../digest/index.ts';
import { WorkerError } from '../../errors/index.ts';
import type { ObjectStore } from '../../objects/index.ts';
import { parseReference, type RegistryClient, type Repository } from '../../registry/index.ts';
import {
  createRepositoryLock,
  ghcrStore,
  type RepositoryStore,
  type RetentionEvent,
  type RetentionPolicy,
  type RetentionResult,
  registryStore,
  runRetention,
} from '../../release/index.ts';
import { Secret } from '../../telemetry/index.ts';
import type { CommandContext } from '../context.ts';
import { writeResult } from '../output.ts';
import { parseAge, parseCount } from '../parse-options.ts';
import { objectStore, registryClient, trustOf } from '../services.ts';

export interface RetentionFlags {
  readonly keep: string;
  readonly order: 'created' | 'version';
  readonly grace: string;
  readonly protect: readonly string[];
  readonly variant: readonly string[];
  readonly commitTags?: boolean;
  /** False for `--no-store`. */
  readonly store: readonly string[] | false;
  readonly packagesApi?: string;
  readonly plainHttp?: boolean;
  readonly dryRun?: boolean;
}

const GHCR = 'ghcr.io';
const GITHUB_API = 'https://api.github.com';

/** `clipyard retention`. */
export async function retention(
  name: string,
  flags: RetentionFlags,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  const { settings, signal, stderr, stdout } = context;
  const policy = policyOf(flags);
  const repository = repositoryOf(name);
  await using stack = new AsyncDisposableStack();
  const objectStores = storesOf(flags, context).map((store) => stack.use(store));
  const client = stack.use(await registryClient(context, { plainHttp: flags.plainHttp ?? false }));
  const result = await runRetention(
    policy,
    { dryRun: flags.dryRun ?? false },
    {
      store: storeOf(client, repository, flags, context, stack),
      objectStores,
      lock: createRepositoryLock(settings.stateDir),
      stateDirectory: settings.stateDir,
      nowMs: Date.now(),
      signal,
      onEvent: (event) => {
        if (json) stderr.write(`${JSON.stringify({ event })}\n`);
        else stderr.write(lineOf(event));
      },
    },
  );
  writeResult(stdout, documentOf(result), json, () => textOf(result));
}

function policyOf(flags: RetentionFlags): RetentionPolicy {
  return {
    keep: parseCount(flags.keep, '--keep', { min: 1, max: 100_000 }),
    order: flags.order,
    graceMs: parseAge(flags.grace, '--grace'),
    protect: new Set(flags.protect.map(parseDigest)),
    variants: flags.variant,
    withCommitTags: flags.commitTags ?? false,
  };
}

function repositoryOf(name: string): Repository {
  const { digest, registry, repository, tag } = parseReference(name);
  if (tag !== undefined || digest !== undefined)
    throw new WorkerError('USAGE', `${name}: a repository is needed, without a tag or digest`);
  return { registry, repository };
}

/** The named ones, or the configured one, or the one that builds use by themselves where it is there. */
function storesOf({ store }: RetentionFlags, context: CommandContext): readonly ObjectStore[] {
  if (store === false) return [];
  if (store.length > 0) return store.map((url) => objectStore(context, url));
  const { settings } = context;
  const isThere = settings.store !== undefined || existsSync(join(settings.stateDir, 'store'));
  return isThere ? [objectStore(context)] : [];
}

function storeOf(
  client: RegistryClient,
  repository: Repository,
  { packagesApi }: RetentionFlags,
  context: CommandContext,
  stack: AsyncDisposableStack,
): RepositoryStore {
  const api = packagesApi ?? (repository.registry === GHCR ? GITHUB_API : undefined);
  if (api === undefined) return registryStore(client, repository);
  const token = context.env['GITHUB_TOKEN'];
  if (token === undefined || token === '')
    throw new WorkerError('USAGE', `GITHUB_TOKEN is not set: ${api} deletes for a token with delete:packages`);
  return stack.use(
    ghcrStore(client, repository, { api, token: new Secret(token), trust: trustOf(context), log: context.log }),
  );
}

function lineOf(event: RetentionEvent): string {
  switch (event.type) {
    case 'reading':
      // A line each hundred: a repository may have thousands.
      return (event.tags + event.manifests) % 100 === 0
        ? `read ${event.tags} tags, ${event.manifests} manifests\n`
        : '';
    case 'planned':
      return `${event.deletions} deletions planned, ${event.keeps} manifests stay\n`;
    case 'deletion':
      return `${event.outcome} ${event.deletion.kind === 'tag' ? `tag ${event.deletion.tag}` : event.deletion.digest}\n`;
  }
}

function documentOf({ absent, deleted, dryRun, plan, repository, skipped }: RetentionResult): object {
  return { repository, dryRun, ...plan, deleted: deleted.length, absent: absent.length, skipped };
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
