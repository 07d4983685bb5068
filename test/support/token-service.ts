import { createHash, generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';

export interface TokenServiceOptions {
  readonly username: string;
  readonly password: string;
  /** The refresh token that is taken as `identitytoken`. */
  readonly identityToken?: string;
  /** Seconds a token lives. */
  readonly lifeSeconds?: number;
  /** Repositories that may only be read, even with the login. */
  readonly readOnly?: readonly string[];
}

export interface TokenGrant {
  readonly scopes: readonly string[];
  readonly how: 'basic' | 'refresh_token' | 'anonymous';
  readonly token: string;
}

/** A token service for a registry with `auth: token` (distribution, "Token Authentication Specification"): ES256 JWTs. */
export class TokenService implements AsyncDisposable {
  readonly realm: string;
  readonly service = 'clipyard-test';
  readonly issuer = 'clipyard-test-issuer';
  readonly jwks: string;
  readonly grants: TokenGrant[] = [];
  readonly #options: TokenServiceOptions;
  readonly #server: ReturnType<typeof createServer>;
  readonly #privateKey: KeyObject;
  readonly #keyId: string;

  private constructor(server: ReturnType<typeof createServer>, port: number, options: TokenServiceOptions) {
    this.#server = server;
    this.#options = options;
    this.realm = `http://127.0.0.1:${port}/token`;
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.#privateKey = privateKey;
    const jwk = publicKey.export({ format: 'jwk' });
    this.#keyId = createHash('sha256').update(JSON.stringify(jwk)).digest('base64url');
    this.jwks = JSON.stringify({ keys: [{ ...jwk, kid: this.#keyId, use: 'sig', alg: 'ES256' }] });
  }

  static async start(options: TokenServiceOptions): Promise<TokenService> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const service = new TokenService(server, address.port, options);
    server.on('request', (request: IncomingMessage, response) => {
      void service.#grant(request).then(({ status, body }) => {
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      });
    });
    return service;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #grant(request: IncomingMessage): Promise<{ status: number; body: unknown }> {
    const url = new URL(request.url ?? '/', this.realm);
    const form = new URLSearchParams(request.method === 'POST' ? await text(request) : '');
    const how = this.#identify(request, form);
    if (how === undefined)
      return { status: 401, body: { errors: [{ code: 'UNAUTHORIZED', message: 'wrong user or password' }] } };
    const scopes = request.method === 'POST' ? (form.get('scope') ?? '').split(' ') : url.searchParams.getAll('scope');
    const token = this.#sign(scopes, how);
    this.grants.push({ scopes, how, token });
    return { status: 200, body: { token, expires_in: this.#options.lifeSeconds ?? 300 } };
  }

  #identify({ headers }: IncomingMessage, form: URLSearchParams): TokenGrant['how'] | undefined {
    const { username, password, identityToken } = this.#options;
    if (form.get('grant_type') === 'refresh_token') {
      return identityToken !== undefined && form.get('refresh_token') === identityToken ? 'refresh_token' : undefined;
    }
    if (headers.authorization === undefined) return 'anonymous';
    return headers.authorization === `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
      ? 'basic'
      : undefined;
  }

  #sign(scopes: readonly string[], how: TokenGrant['how']): string {
    const nowSeconds = Math.floor(Date.now() / 1000);
    const access = scopes.filter((scope) => scope !== '').map((scope) => this.#accessOf(scope, how));
    const header = { typ: 'JWT', alg: 'ES256', kid: this.#keyId };
    const claims = {
      iss: this.issuer,
      aud: this.service,
      sub: this.#options.username,
      iat: nowSeconds,
      nbf: nowSeconds - 5,
      exp: nowSeconds + (this.#options.lifeSeconds ?? 300),
      jti: randomUUID(),
      access,
    };
    const signed = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
    const signature = sign('sha256', Buffer.from(signed), { key: this.#privateKey, dsaEncoding: 'ieee-p1363' });
    return `${signed}.${signature.toString('base64url')}`;
  }

  #accessOf(scope: string, how: TokenGrant['how']) {
    const [type = '', name = '', actions = ''] = scope.split(':');
    const mayPush = how !== 'anonymous' && this.#options.readOnly?.includes(name) !== true;
    return { type, name, actions: actions.split(',').filter((action) => action === 'pull' || mayPush) };
  }
}
