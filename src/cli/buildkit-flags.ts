import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { BuildRequest, SecretSource } from '../buildkit/index.ts';
import { WorkerError } from '../errors/index.ts';
import { formatPlatform, parsePlatform } from '../oci/index.ts';
import { loadCredentials } from '../registry/index.ts';
import type { CommandContext } from './context.ts';
import { hostSecrets } from './host-secrets.ts';
import { loginsOf } from './logins.ts';
import { parseFields, parsePairs } from './parse-options.ts';

/** The flags of `build` (and later of `submit`) that say what BuildKit is asked for. */
export interface BuildkitFlags {
  readonly context: string;
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
  readonly addHost: readonly string[];
  readonly network?: string;
  readonly cache: boolean;
  readonly cacheFrom: readonly string[];
  readonly cacheTo: readonly string[];
}

const NETWORKS = ['default', 'none', 'host'] as const;

/** Throws USAGE, CONTEXT_NOT_FOUND, SECRET_NOT_FOUND, PATH_NOT_FOUND before anything is asked of BuildKit. */
export async function buildkitRequest(flags: BuildkitFlags, { env }: CommandContext): Promise<BuildRequest> {
  const contextDir = resolve(flags.context);
  if (!isDirectory(contextDir)) throw new WorkerError('CONTEXT_NOT_FOUND', `--context ${flags.context} is no folder`);
  return {
    contextDir,
    buildArgs: parsePairs(flags.buildArg, env, '--build-arg'),
    labels: parsePairs(flags.label, env, '--label'),
    secrets: {
      ...(flags.caBundle !== undefined && (await hostSecrets(flags.caBundle))),
      ...Object.fromEntries(flags.secret.map((text) => secretOf(text, env))),
    },
    ssh: Object.fromEntries(flags.ssh.map((text) => sshOf(text, env))),
    namedContexts: Object.fromEntries(
      Object.entries(parsePairs(flags.buildContext, {}, '--build-context')).map(([name, value]) => [
        name,
        namedContext(value),
      ]),
    ),
    addHosts: flags.addHost.map(hostEntry),
    attestations: Object.fromEntries(flags.attest.map(attestationOf)),
    noCache: !flags.cache,
    cacheFrom: flags.cacheFrom.map((text) => cacheSpec(text, '--cache-from')),
    cacheTo: flags.cacheTo.map((text) => cacheSpec(text, '--cache-to')),
    logins: loginsOf(await loadCredentials(env)),
    ...(flags.file !== undefined && { dockerfile: { file: resolve(flags.file) } }),
    ...(flags.target !== undefined && { target: flags.target }),
    ...(flags.platform !== undefined && {
      platforms: flags.platform.split(',').map((text) => formatPlatform(parsePlatform(text))),
    }),
    ...(flags.network !== undefined && { network: networkOf(flags.network) }),
  };
}

export function secretOf(text: string, env: CommandContext['env']): readonly [string, SecretSource] {
  const { id, src, source = src, env: variable, ...rest } = parseFields(text, '--secret');
  const unknown = Object.keys(rest).filter((key) => key !== 'type' && key !== 'src');
  if (id === undefined || unknown.length > 0)
    throw new WorkerError('USAGE', `--secret ${text}: write id=NAME,src=FILE or id=NAME,env=VARIABLE`);
  if (source !== undefined) {
    if (!isFile(resolve(source)))
      throw new WorkerError('SECRET_NOT_FOUND', `--secret ${id}: there is no file ${source}`, { id });
    return [id, { file: resolve(source) }];
  }
  const value = env[variable ?? id];
  if (value === undefined)
    throw new WorkerError(
      'SECRET_NOT_FOUND',
      `--secret ${id}: the variable ${variable ?? id} is not set; give src=FILE or env=VARIABLE`,
      { id },
    );
  return [id, { bytes: Buffer.from(value) }];
}

function sshOf(text: string, env: CommandContext['env']): readonly [string, string] {
  const equals = text.indexOf('=');
  const [id, socket] = equals === -1 ? [text, env['SSH_AUTH_SOCK']] : [text.slice(0, equals), text.slice(equals + 1)];
  if (socket === undefined || socket === '')
    throw new WorkerError('USAGE', `--ssh ${text}: no agent; set SSH_AUTH_SOCK or write id=SOCKET`);
  return [id, resolve(socket)];
}

function namedContext(value: string): { readonly dir: string } | { readonly url: string } {
  if (/^(?:docker-image|oci-layout|https?|git|ssh):\/\//.test(value) || value.startsWith('git@')) return { url: value };
  if (!isDirectory(resolve(value)))
    throw new WorkerError(
      'CONTEXT_NOT_FOUND',
      `--build-context ${value} is neither a folder nor docker-image://REF nor a URL`,
    );
  return { dir: resolve(value) };
}

function hostEntry(text: string): { readonly host: string; readonly ip: string } {
  const separator = text.search(/[:=]/);
  if (separator <= 0) throw new WorkerError('USAGE', `--add-host ${text}: write HOST:IP`);
  return { host: text.slice(0, separator), ip: text.slice(separator + 1) };
}

/** `provenance`, `provenance,mode=max`, or as docker writes it, `type=provenance,mode=max`. */
function attestationOf(text: string): readonly [string, Readonly<Record<string, string>>] {
  const { type, ...options } = parseFields(text.startsWith('type=') ? text : `type=${text}`, '--attest');
  if (type !== 'provenance' && type !== 'sbom')
    throw new WorkerError('USAGE', `--attest ${text}: write provenance[,mode=min|max] or sbom[,generator=IMAGE]`);
  return [type, options];
}

/** A bare word is a reference of a registry cache, as in docker. */
export function cacheSpec(text: string, flag: string) {
  if (!text.includes('=')) return { type: 'registry', attrs: { ref: text } };
  const { type, ...attrs } = parseFields(text, flag);
  if (type === undefined) throw new WorkerError('USAGE', `${flag} ${text}: no type=`);
  return { type, attrs };
}

function networkOf(text: string): (typeof NETWORKS)[number] {
  const network = NETWORKS.find((name) => name === text);
  if (network === undefined)
    throw new WorkerError('USAGE', `--network ${text}: one of ${NETWORKS.join(', ')} is needed`);
  return network;
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}
