/** What a fault proxy does to one request. Byte counts are of bodies. */
export type Fault =
  /** Waits, then goes on as usual. */
  | { readonly kind: 'delay'; readonly delayMs: number }
  /** Lets something else happen first, then goes on as usual. */
  | { readonly kind: 'meanwhile'; readonly first: () => Promise<unknown> }
  /** Answers itself: 429, 503, a login page. */
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly headers?: Readonly<Record<string, string | readonly string[]>>;
      readonly body?: string;
    }
  /** Hands on so many bytes of the request, then breaks both connections. */
  | { readonly kind: 'cutRequest'; readonly afterBytes: number }
  | { readonly kind: 'cutResponse'; readonly afterBytes: number }
  /** Flips a bit of one byte of the response. */
  | { readonly kind: 'corruptResponse'; readonly atByte: number }
  /** A well-formed response that holds less. */
  | { readonly kind: 'shortenResponse'; readonly toBytes: number }
  /** Takes the request and never answers. */
  | { readonly kind: 'stall' }
  /** Stops taking the request's bytes. */
  | { readonly kind: 'stallRequest'; readonly afterBytes: number }
  /** Stops sending the response's bytes. */
  | { readonly kind: 'stallResponse'; readonly afterBytes: number }
  /** Hands the request on, then breaks the connection instead of answering. */
  | { readonly kind: 'loseAnswer' };

/** Which requests a fault is for. */
export interface FaultMatch {
  readonly method?: string;
  readonly path?: RegExp;
}

/** One request that went through a fault proxy. */
export interface LoggedRequest {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly range: string | undefined;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** Bytes of the body that the client sent. */
  requestBytes: number;
  /** Bytes of the body that were sent back. */
  responseBytes: number;
  status: number | undefined;
  fault: Fault['kind'] | undefined;
}
