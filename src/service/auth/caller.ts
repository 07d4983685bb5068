import type { PeerCertificate } from 'node:tls';

/** Who calls, as far as it matters here. */
export interface Caller {
  readonly workspaceId: string;
  /** May call WorkerService. */
  readonly operator: boolean;
  /** For logs: the name of the token, the subject of the certificate, or `local`. */
  readonly name: string;
}

/** What a call shows of its caller. */
export interface Credentials {
  /** Of `authorization: Bearer …`. */
  readonly token: string | undefined;
  /** Checked against the client authorities by the connection. */
  readonly certificate: PeerCertificate | undefined;
  /** Of `clipyard-workspace`. */
  readonly workspace: string | undefined;
}

/** Says who calls. Throws WORKER_UNAUTHENTICATED, WORKER_DENIED, WORKSPACE_ID_INVALID. */
export type Authenticate = (credentials: Credentials) => Promise<Caller>;
