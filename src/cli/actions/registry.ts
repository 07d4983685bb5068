import type { Digest } from '../../digest/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import { type Descriptor, formatPlatform, imagesOf, isIndexType, parseIndex, parsePlatform } from '../../oci/index.ts';
import {
  formatReference,
  isTag,
  manifestNameOf,
  parseReference,
  type Reference,
  type RegistryClient,
  type Repository,
} from '../../registry/index.ts';
import {
  copyImage,
  createRepositoryLock,
  type GuardedTag,
  guardReleaseTags,
  type RetagTarget,
  retagImage,
  type TagWrite,
} from '../../release/index.ts';
import type { CommandContext } from '../context.ts';
import { formatBytes, formatTable, writeResult } from '../output.ts';
import { registryClient } from '../services.ts';

export interface RegistryFlags {
  readonly plainHttp?: boolean;
}

export interface TagFlags extends RegistryFlags {
  readonly dryRun?: boolean;
  readonly permanent?: boolean;
  /** The version whose release the tags belong to. */
  readonly release?: string;
}

export interface CopyFlags extends RegistryFlags {
  readonly dryRun?: boolean;
  readonly platform?: string;
  readonly referrers: boolean;
}

export interface ReferrersFlags extends RegistryFlags {
  readonly artifactType?: string;
}

/** `clipyard digest REF`: a HEAD, which counts as no pull; with `--json` an index is read for its platforms. */
export async function digest(
  text: string,
  flags: RegistryFlags,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  const { signal, stdout } = context;
  const reference = parseReference(text);
  await using client = await registryClient(context, flags);
  const found = await descriptorOf(client, reference, { signal });
  const platforms =
    json && isIndexType(found.mediaType) ? await platformsOf(client, reference, found.digest, { signal }) : undefined;
  const document = {
    reference: formatReference({ ...reference, ...named(reference) }),
    digest: found.digest,
    mediaType: found.mediaType,
    size: found.size,
    ...(platforms !== undefined && { platforms }),
  };
  writeResult(stdout, document, json, () => `${found.digest}\n`);
}

/** `clipyard tag SRC TAG...`. */
export async function tag(
  source: string,
  tags: readonly string[],
  { dryRun = false, permanent = false, release, ...flags }: TagFlags,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  const { settings, signal, stdout } = context;
  const reference = parseReference(source);
  const wrong = tags.find((each) => !isTag(each));
  if (wrong !== undefined)
    throw new WorkerError('USAGE', `${JSON.stringify(wrong)} is no tag; tags are set in the repository of ${source}`);
  await using client = await registryClient(context, flags);
  const asked = [...new Set(tags)];
  const guarded = release === undefined ? [] : await guardedTags(asked, release, reference, { client, signal });
  const result = await retagImage({
    client,
    repository: reference,
    source: manifestNameOf(reference),
    targets: asked.flatMap((each) => targetFor(each, permanent, guarded)),
    lock: createRepositoryLock(settings.stateDir),
    dryRun,
    signal,
  });
  const name = `${reference.registry}/${reference.repository}`;
  const left = guarded.flatMap(({ stays, tag: each }) => (stays === undefined ? [] : [{ tag: each, reason: stays }]));
  const document = {
    repository: name,
    ...result,
    tags: result.tags.map(documentOfTag),
    ...(release !== undefined && { left }),
    dryRun,
  };
  writeResult(stdout, document, json, () =>
    [
      ...result.tags.map((write) => lineOf(name, write, dryRun)),
      ...left.map((each) => `left ${name}:${each.tag}: ${each.reason}\n`),
    ].join(''),
  );
}

interface Guarded extends GuardedTag {
  /** What the decision was made on. */
  readonly now: Digest | undefined;
}

/** The tags are read before the list of versions: a release that comes in between is noticed when they are set. */
async function guardedTags(
  tags: readonly string[],
  version: string,
  repository: Repository,
  { client, signal }: Cancelable & { readonly client: RegistryClient },
): Promise<readonly Guarded[]> {
  const now = new Map<string, Digest | undefined>();
  for (const each of tags) now.set(each, (await client.headManifest(repository, each, { signal }))?.digest);
  const released = await client.listTags(repository, { signal });
  return guardReleaseTags(tags, { version, released }).map((each) => ({ ...each, now: now.get(each.tag) }));
}

function targetFor(name: string, permanent: boolean, guarded: readonly Guarded[]): readonly RetagTarget[] {
  const guard = guarded.find((each) => each.tag === name);
  if (guard === undefined) return [{ tag: name, permanent }];
  if (guard.stays !== undefined) return [];
  return [{ tag: name, permanent: permanent || guard.permanent, expected: guard.now ?? 'absent' }];
}

/** `clipyard copy SRC DST`. */
export async function copy(
  from: string,
  to: string,
  { dryRun = false, platform, referrers: withReferrers, ...flags }: CopyFlags,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  const { log, settings, signal, stdout } = context;
  const source = parseReference(from);
  const target = targetOf(source, parseReference(to));
  await using client = await registryClient(context, flags);
  const result = await copyImage({
    client,
    source,
    target,
    dryRun,
    withoutReferrers: !withReferrers,
    ...(platform !== undefined && { platform: parsePlatform(platform) }),
    lock: createRepositoryLock(settings.stateDir),
    report: (event) => {
      log.debug(event, 'copy');
    },
    signal,
  });
  for (const missing of result.missing)
    log.warn({ digest: missing }, 'a referrer is listed at the source and not there');
  const document = {
    source: formatReference(source),
    target: formatReference(target),
    ...result,
    tag: result.tag === undefined ? null : documentOfTag(result.tag),
    dryRun,
  };
  writeResult(stdout, document, json, () => {
    const { blobs, companions, manifests, referrers: count, sentBytes } = result;
    const verb = dryRun ? 'would copy' : 'copied';
    return [
      `${verb} ${formatReference(source)} to ${formatReference(target)}: ${result.digest}\n`,
      `  manifests ${manifests.copied} new, ${manifests.present} there; `,
      `blobs ${blobs.sent} sent (${formatBytes(sentBytes)}), ${blobs.mounted} mounted, ${blobs.present} there; `,
      `${count} referrers, ${companions.length} digest tags\n`,
    ].join('');
  });
}

/** `clipyard referrers REF`. */
export async function referrers(
  text: string,
  { artifactType, ...flags }: ReferrersFlags,
  json: boolean,
  context: CommandContext,
): Promise<void> {
  const { signal, stdout } = context;
  const reference = parseReference(text);
  await using client = await registryClient(context, flags);
  const subject = await descriptorOf(client, reference, { signal });
  const filter = artifactType === undefined ? {} : { artifactType };
  const found = await client.listReferrers(reference, subject.digest, { ...filter, signal });
  writeResult(stdout, { subject: subject.digest, referrers: found }, json, () =>
    found.length === 0
      ? `no referrers${artifactType === undefined ? '' : ` of type ${artifactType}`}\n`
      : formatTable(
          ['digest', 'artifact type', 'size >'],
          found.map((each) => [each.digest, each.artifactType ?? each.mediaType, formatBytes(each.size)]),
        ),
  );
}

async function descriptorOf(client: RegistryClient, reference: Reference, { signal }: Cancelable): Promise<Descriptor> {
  const found = await client.headManifest(reference, manifestNameOf(reference), { signal });
  if (found !== undefined) return found;
  throw new WorkerError('REGISTRY_NOT_FOUND', `there is no ${formatReference({ ...reference, ...named(reference) })}`);
}

/** What was asked for, with the tag that is meant where none is written. */
function named({ tag: name, digest: wanted }: Reference): Pick<Reference, 'tag' | 'digest'> {
  if (wanted !== undefined) return { digest: wanted, ...(name !== undefined && { tag: name }) };
  return { tag: name ?? 'latest' };
}

async function platformsOf(
  client: RegistryClient,
  reference: Reference,
  index: Digest,
  { signal }: Cancelable,
): Promise<readonly string[]> {
  const { bytes } = await client.getManifest(reference, index, { signal });
  return imagesOf(parseIndex(bytes)).flatMap(({ platform }) =>
    platform === undefined ? [] : [formatPlatform(platform)],
  );
}

/** An image keeps its tag unless another one is written; a digest alone is copied without a tag. */
function targetOf(source: Reference, target: Reference): Reference {
  if (target.tag !== undefined || target.digest !== undefined) return target;
  const kept = source.tag ?? (source.digest === undefined ? 'latest' : undefined);
  return kept === undefined ? target : { ...target, tag: kept };
}

function documentOfTag({ after, before, tag: name, written }: TagWrite): object {
  return { tag: name, before: before ?? null, after, written };
}

function lineOf(name: string, { after, before, tag: tagName, written }: TagWrite, dryRun: boolean): string {
  if (before === after) return `${name}:${tagName} unchanged ${after}\n`;
  const verb = dryRun ? 'would set' : written ? 'set' : 'left';
  return `${verb} ${name}:${tagName} ${before ?? 'absent'} -> ${after}\n`;
}
