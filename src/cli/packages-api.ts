import { WorkerError } from '../errors/index.ts';
import { Secret } from '../telemetry/index.ts';
import type { CommandContext } from './context.ts';

export const GITHUB_API = 'https://api.github.com';
const GHCR = 'ghcr.io';

/**
 * The packages API that deletes the images of a registry: `--packages-api`, else CLIPYARD_PACKAGES_API, else GitHub's own for ghcr.io.
 * Either is a URL for whatever registry the command is about, or `HOST=URL` for that registry alone. undefined: the registry deletes itself.
 */
export function packagesApiUrl(
  registry: string,
  flag: string | undefined,
  { settings }: Pick<CommandContext, 'settings'>,
): string | undefined {
  const given = flag ?? settings.packagesApi;
  const [, host, url] = /^([^=/]+)=(.*)$/.exec(given ?? '') ?? [undefined, registry, given];
  return (host === registry ? url : undefined) ?? (registry === GHCR ? GITHUB_API : undefined);
}

/** With its token. Throws USAGE without one. */
export function packagesApiOf(
  registry: string,
  flag: string | undefined,
  context: Pick<CommandContext, 'env' | 'settings'>,
): { readonly api: string; readonly token: Secret } | undefined {
  const api = packagesApiUrl(registry, flag, context);
  if (api === undefined) return undefined;
  const token = context.env['GITHUB_TOKEN'];
  if (token === undefined || token === '')
    throw new WorkerError('USAGE', `GITHUB_TOKEN is not set: ${api} deletes for a token with delete:packages`);
  return { api, token: new Secret(token) };
}
