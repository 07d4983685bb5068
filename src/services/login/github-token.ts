import { WorkerError } from '../../errors/index.ts';
import type { CredentialSource } from '../../registry/index.ts';
import { Secret } from '../../telemetry/index.ts';

/** What a token must be allowed. */
export const TOKEN_PERMISSIONS = [
  ['write:packages', 'push images'],
  ['read:packages', 'list and pull images'],
  ['delete:packages', 'delete images (only for --delete-images)'],
] as const;

/** What a run wants of GitHub's registry. */
export type TokenUse = 'push' | 'list' | 'delete';

/** A tag is deleted by pushing what takes its place. */
const NEEDED: Readonly<Record<TokenUse, readonly string[]>> = {
  push: ['write:packages'],
  list: ['read:packages'],
  delete: ['write:packages', 'read:packages', 'delete:packages'],
};

/** Pure: what a token with these scopes lacks. Who may write may read. */
export function missingPermissions(scopes: readonly string[], use: TokenUse): readonly string[] {
  const has = new Set([...scopes, ...(scopes.includes('write:packages') ? ['read:packages'] : [])]);
  return NEEDED[use].filter((permission) => !has.has(permission));
}

/**
 * Personal tokens (classic `ghp_`, fine-grained `github_pat_`), those of apps and actions (`gho_`, `ghu_`, `ghs_`, `ghr_`, which
 * have grown longer over time), and the bare hex of old.
 */
const FORM = /^(?:gh[pousr]_[A-Za-z0-9_.-]{36,1024}|github_pat_[A-Za-z0-9_]{22,1024}|[0-9a-f]{40})$/;

/** Throws GITHUB_TOKEN_INVALID; the message never holds the token. */
export function parseGithubToken(text: string): Secret {
  const token = text.trim();
  if (FORM.test(token)) return new Secret(token);
  throw new WorkerError(
    'GITHUB_TOKEN_INVALID',
    token === ''
      ? 'there is no GitHub token: set GITHUB_TOKEN'
      : `this is no GitHub token (${token.length} characters): one begins with ghp_, github_pat_, gho_, ghu_, ghs_ or ghr_`,
  );
}

/** Logs in to one registry by token, to all others as before. The token lives in memory alone. */
export function withGithubToken(
  others: CredentialSource,
  { registry, token, username }: { readonly registry: string; readonly token: Secret; readonly username: string },
): CredentialSource {
  return {
    get: async (host, options) =>
      host === registry ? { kind: 'basic', username, password: token } : await others.get(host, options),
  };
}
