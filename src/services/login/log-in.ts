import type { Cancelable } from '../../errors/index.ts';
import type { CredentialSource, RegistryClient } from '../../registry/index.ts';
import type { Secret } from '../../telemetry/index.ts';
import type { Console } from '../console/console.ts';
import { texts } from '../console/texts.ts';
import { parseGithubToken, TOKEN_PERMISSIONS, withGithubToken } from './github-token.ts';

export interface LogInContext extends Cancelable {
  readonly console: Console;
  readonly registry: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly org: string;
  /** Docker's config and helpers. */
  readonly others: CredentialSource;
  /** Asks a person for the token, without showing it; undefined where nobody sits. */
  readonly ask: ((question: string) => Promise<string>) | undefined;
  /** A client with these logins. */
  readonly connect: (credentials: CredentialSource) => RegistryClient;
}

export interface LoggedIn {
  readonly credentials: CredentialSource;
  /** For GitHub's own API. */
  readonly token: Secret | undefined;
}

/**
 * The login of a run: GITHUB_TOKEN, else what docker knows, else a token that a person types. A token is checked by its form,
 * then at the registry. Nothing is written anywhere. Throws GITHUB_TOKEN_INVALID, REGISTRY_UNAUTHENTICATED.
 */
export async function logIn(context: LogInContext): Promise<LoggedIn> {
  const { ask, console, env, org, others, registry, signal } = context;
  const given = env['GITHUB_TOKEN'] ?? '';
  const known = given === '' ? await others.get(registry, { signal }) : undefined;
  if (known !== undefined) return { credentials: others, token: known.kind === 'basic' ? known.password : undefined };
  console.say(texts.loggingIn(registry));
  if (given === '') explainToken(console);
  const token = parseGithubToken(given !== '' ? given : ((await ask?.('GitHub token: ')) ?? ''));
  const credentials = withGithubToken(others, { registry, token, username: env['GITHUB_USERNAME'] || org });
  await using client = context.connect(credentials);
  await client.ping(registry, { signal });
  console.say(texts.loggedIn(registry));
  return { credentials, token };
}

/** What the token is for and what it must be allowed. */
export function explainToken(console: Console): void {
  console.info(
    'A GitHub token (Settings > Developer settings > Personal access tokens) with these permissions is needed:',
  );
  for (const [permission, use] of TOKEN_PERMISSIONS) console.info(`  ${permission}: ${use}`);
  console.info('It is used for this run only and written nowhere; set GITHUB_TOKEN to be asked no more');
}
