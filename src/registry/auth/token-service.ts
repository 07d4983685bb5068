import { z } from 'zod';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import { Secret } from '../../telemetry/index.ts';
import type { Clock } from '../clock.ts';
import { type PlainHttp, requireSecure } from '../endpoint.ts';
import { refusalError } from '../refusal.ts';
import { nameOf, type Wire } from '../wire.ts';
import type { Credential } from './credential.ts';

export interface TokenRequest extends Cancelable {
  readonly realm: string;
  readonly service: string | undefined;
  /** `repository:name:pull,push` */
  readonly scopes: readonly string[];
  readonly credential: Credential | undefined;
}

export interface Token {
  readonly value: Secret;
  readonly expiresMs: number;
}

const TokenAnswer = z.object({
  token: z.string().optional(),
  access_token: z.string().optional(),
  /** Seconds; 60 when it is not given (distribution, "Token Authentication Specification"). */
  expires_in: z.number().positive().default(60),
});
const MAX_ANSWER_BYTES = 1024 * 1024;
/** A token is not used in its last tenth, at most this long. */
const MAX_MARGIN_MS = 30_000;

/**
 * Gets a bearer token: GET with the login as Basic, or POST with an identity token as OAuth2 refresh token
 * (distribution, "Token Authentication Specification" and "OAuth2 Token Authentication").
 */
export async function fetchToken(
  { wire, clock, plainHttp }: { readonly wire: Wire; readonly clock: Clock; readonly plainHttp: PlainHttp },
  { realm, service, scopes, credential, signal }: TokenRequest,
): Promise<Token> {
  if (!URL.canParse(realm))
    throw new WorkerError(
      'REGISTRY_PROTOCOL',
      `the registry names a token service that is no address: ${realm.slice(0, 200)}`,
    );
  const url = new URL(realm);
  requireSecure(url, plainHttp, 'the token service');
  const form = credential?.kind === 'identityToken' ? formOf(credential, service, scopes) : undefined;
  if (form === undefined) {
    if (service !== undefined) url.searchParams.set('service', service);
    for (const scope of scopes) url.searchParams.append('scope', scope);
    if (credential?.kind === 'basic') url.searchParams.set('account', credential.username);
  }
  const method = form === undefined ? 'GET' : 'POST';
  const headers = {
    accept: 'application/json',
    ...(form === undefined ? basicHeader(credential) : { 'content-type': 'application/x-www-form-urlencoded' }),
  };
  const startedMs = clock.nowMs();
  const response = await wire.exchange({
    method,
    url,
    headers,
    signal,
    body: form && { sizeBytes: form.length, open: () => form },
  });
  const body = await response.bytes(MAX_ANSWER_BYTES);
  if (response.status !== 200)
    throw refused(nameOf(method, url), response.status, response.header('retry-after'), body, clock, credential);
  return tokenOf(body, startedMs, url);
}

function tokenOf(body: Buffer, startedMs: number, url: URL): Token {
  let answer: z.infer<typeof TokenAnswer>;
  try {
    answer = TokenAnswer.parse(JSON.parse(body.toString()));
  } catch {
    // Without the cause: it may quote the token.
    throw new WorkerError('REGISTRY_PROTOCOL', `the token service at ${url.host} answered no token`);
  }
  const value = answer.token ?? answer.access_token;
  if (!value) throw new WorkerError('REGISTRY_PROTOCOL', `the token service at ${url.host} answered no token`);
  const lifeMs = answer.expires_in * 1000;
  return { value: new Secret(value), expiresMs: startedMs + lifeMs - Math.min(lifeMs / 10, MAX_MARGIN_MS) };
}

function refused(
  doing: string,
  status: number,
  retryAfter: string | undefined,
  body: Buffer,
  clock: Clock,
  credential: Credential | undefined,
): WorkerError {
  const cause = refusalError(
    doing,
    { status, retryAfter, body: body.toString(), secrets: secretsOf(credential) },
    clock,
  );
  if (status >= 500 || status === 429) return cause;
  const who = credential === undefined ? 'without a login' : 'with this login';
  return new WorkerError(
    'REGISTRY_UNAUTHENTICATED',
    `the token service gives no token ${who}: ${cause.message}`,
    cause.details,
    { cause },
  );
}

function formOf(
  { token }: Extract<Credential, { kind: 'identityToken' }>,
  service: string | undefined,
  scopes: readonly string[],
): Buffer {
  const fields = {
    grant_type: 'refresh_token',
    refresh_token: token.reveal(),
    client_id: 'clipyard',
    service: service ?? '',
    scope: scopes.join(' '),
  };
  return Buffer.from(new URLSearchParams(fields).toString());
}

export function basicHeader(credential: Credential | undefined): Record<string, string> {
  if (credential?.kind !== 'basic') return {};
  return {
    authorization: `Basic ${Buffer.from(`${credential.username}:${credential.password.reveal()}`).toString('base64')}`,
  };
}

/** What of a login must not be repeated in a message. */
function secretsOf(credential: Credential | undefined): readonly string[] {
  if (credential === undefined) return [];
  const plain = credential.kind === 'basic' ? credential.password.reveal() : credential.token.reveal();
  const header = basicHeader(credential)['authorization']?.slice('Basic '.length);
  return [plain, header ?? ''].filter((secret) => secret !== '');
}
