import { readFile } from 'node:fs/promises';
import { relative, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { parseImageId } from '../archive/index.ts';
import { contextTar } from '../buildkit/index.ts';
import { WorkerError } from '../errors/index.ts';
import { parseBuildSpec, type SecretValue, type SubmitRequest } from '../worker/index.ts';
import { cacheSpec, secretOf } from './buildkit-flags.ts';
import type { CommandContext } from './context.ts';
import { hostSecrets } from './host-secrets.ts';
import { imageIdOf } from './image-id.ts';
import { parseAge, parseCompression, parseCount, parsePairs, parseRegistryTarget } from './parse-options.ts';
import type { ClientFlags, WorkerCalls } from './worker-client.ts';

/** The flags of `submit`: those of `build` that do not speak of this machine, and how the build is to be queued. */
export interface SubmitFlags extends ClientFlags {
  readonly context: string;
  readonly git?: string;
  readonly objectKey?: string;
  readonly dockerfileInline?: string;
  readonly file?: string;
  readonly target?: string;
  readonly buildArg: readonly string[];
  readonly label: readonly string[];
  readonly secret: readonly string[];
  readonly ssh: readonly string[];
  readonly caBundle?: string;
  readonly platform?: string;
  readonly buildContext: readonly string[];
  readonly attest: readonly string[];
  readonly network?: string;
  readonly cache: boolean;
  readonly cacheFrom: readonly string[];
  readonly cacheTo: readonly string[];
  readonly imageId?: string;
  readonly registry?: string;
  readonly alsoAs?: string;
  readonly archiveFormat: string;
  readonly compression: string;
  readonly level?: string;
  readonly chunk?: string;
  readonly hermetic: boolean;
  readonly idempotencyKey: string;
  readonly priority?: string;
  readonly maxAge?: string;
  readonly timeout?: string;
}

/** Uploads what the build needs from this machine and gives what is submitted. Throws USAGE, CONTEXT_NOT_FOUND, SPEC_INVALID. */
export async function prepareSubmission(
  flags: SubmitFlags,
  calls: WorkerCalls,
  context: CommandContext,
): Promise<SubmitRequest> {
  const { codec } = parseCompression(flags);
  const imageId = parseImageId(
    flags.imageId ?? imageIdOf(flags.git?.replace(/(?:\.git)?(?:#.*)?$/, '') ?? flags.context),
  );
  const queueing = {
    idempotencyKey: flags.idempotencyKey,
    priority: flags.priority === undefined ? undefined : parseCount(flags.priority, '--priority', { min: 0, max: 9 }),
    maxAgeMs: flags.maxAge === undefined ? undefined : parseAge(flags.maxAge, '--max-age'),
    timeoutMs: flags.timeout === undefined ? undefined : parseAge(flags.timeout, '--timeout'),
  };
  const secrets = await secretsOf(flags, context);
  const source = await contextOf(flags, calls, context);
  const spec = parseBuildSpec({
    imageId,
    ...source,
    target: flags.target,
    platforms: flags.platform?.split(','),
    buildArgs: parsePairs(flags.buildArg, context.env, '--build-arg'),
    labels: parsePairs(flags.label, context.env, '--label'),
    namedContexts: await namedContexts(flags.buildContext, calls, context),
    ssh: flags.ssh,
    network: flags.network,
    noCache: !flags.cache,
    cacheFrom: flags.cacheFrom.map((each) => cacheText(each, '--cache-from')),
    cacheTo: flags.cacheTo.map((each) => cacheText(each, '--cache-to')),
    attest: flags.attest,
    compression: flags.compression === 'auto' ? 'auto' : codec,
    level: flags.level === undefined ? undefined : Number(flags.level),
    chunkBytes: flags.chunk === undefined ? undefined : parseCompression(flags).chunkBytes,
    archiveFormat: flags.archiveFormat,
    alsoAs: flags.alsoAs,
    repository: flags.registry === undefined ? undefined : repositoryOf(flags.registry),
    hermetic: flags.hermetic,
  });
  return { spec, secrets, ...queueing };
}

async function contextOf(
  flags: SubmitFlags,
  calls: WorkerCalls,
  { signal }: CommandContext,
): Promise<{ readonly context: object; readonly dockerfile?: string | undefined }> {
  const inline = flags.file === '-' ? await text(process.stdin) : flags.dockerfileInline;
  const others = [flags.git, flags.objectKey, inline].filter((each) => each !== undefined);
  if (others.length > 1)
    throw new WorkerError('USAGE', 'one of --context, --git, --object-key and an inline Dockerfile is enough');
  if (inline !== undefined) return { context: { type: 'inline', dockerfile: inline } };
  if (flags.git !== undefined) return { context: gitContext(flags.git), dockerfile: flags.file };
  if (flags.objectKey !== undefined)
    return { context: { type: 'object', key: flags.objectKey }, dockerfile: flags.file };
  const dockerfile = flags.file === undefined ? undefined : insideContext(flags.context, flags.file);
  const tar = () => contextTar(flags.context, { signal, ...(dockerfile !== undefined && { dockerfile }) });
  const { digest } = await calls.client.upload(calls.workspaceId, tar, { signal });
  return { context: { type: 'uploaded', digest }, dockerfile };
}

/** `URL[#ref[:subdirectory]]`, as docker writes it. */
export function gitContext(written: string): object {
  const hash = written.indexOf('#');
  if (hash === -1) return { type: 'git', url: written };
  const [ref = '', ...subdirectory] = written.slice(hash + 1).split(':');
  const folder = subdirectory.join(':');
  return {
    type: 'git',
    url: written.slice(0, hash),
    ...(ref !== '' && { ref }),
    ...(folder !== '' && { subdirectory: folder }),
  };
}

function insideContext(context: string, file: string): string {
  const path = relative(resolve(context), resolve(file));
  if (path === '' || path.startsWith('..') || path.startsWith('/'))
    throw new WorkerError('USAGE', `--file ${file} does not lie in --context ${context}, which is all that is sent`);
  return path;
}

/** Folders are uploaded, addresses stay as they are. */
async function namedContexts(
  pairs: readonly string[],
  { client, workspaceId }: WorkerCalls,
  { signal }: CommandContext,
): Promise<Readonly<Record<string, string>>> {
  const contexts: Record<string, string> = {};
  for (const [name, value] of Object.entries(parsePairs(pairs, {}, '--build-context'))) {
    const isAddress = /^(?:docker-image:\/\/|https?:\/\/|uploaded:)/.test(value);
    contexts[name] = isAddress
      ? value
      : `uploaded:${(await client.upload(workspaceId, () => contextTar(value, { signal }), { signal })).digest}`;
  }
  return contexts;
}

async function secretsOf(flags: SubmitFlags, { env }: CommandContext): Promise<readonly SecretValue[]> {
  const sources = {
    ...(flags.caBundle !== undefined && (await hostSecrets(flags.caBundle))),
    ...Object.fromEntries(flags.secret.map((each) => secretOf(each.replace(/,version=[^,]*/, ''), env))),
  };
  const versions = new Map(
    flags.secret.map((each) => [/(?:^|,)id=([^,]*)/.exec(each)?.[1], /,version=([^,]*)/.exec(each)?.[1]]),
  );
  return await Promise.all(
    Object.entries(sources).map(async ([id, source]) => ({
      id,
      version: versions.get(id) ?? '',
      value: 'file' in source ? await readFile(source.file) : source.bytes,
    })),
  );
}

function cacheText(written: string, flag: string): string {
  const { attrs, type } = cacheSpec(written, flag);
  return Object.entries({ type, ...attrs })
    .map(([name, value]) => `${name}=${value}`)
    .join(',');
}

function repositoryOf(written: string): string {
  const { registry, repository } = parseRegistryTarget(written);
  return `${registry}/${repository}`;
}
