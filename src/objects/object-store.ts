import type { Readable } from 'node:stream';
import type { Digest } from '../digest/index.ts';
import type { Cancelable } from '../errors/index.ts';
import type { Secret } from '../telemetry/index.ts';

/** Bytes from `offset` (`length` of them, or all that follow), or the last `suffixLength`. Less is given where the object ends. */
export type ObjectRange = { readonly offset: number; readonly length?: number } | { readonly suffixLength: number };

export interface ObjectInfo {
  /** Of the whole object. */
  readonly sizeBytes: number;
  /** Opaque: another content has another one. For `ifMatch`. */
  readonly etag: string;
  /** Of the content, where it was given when the object was put (a directory computes it). */
  readonly sha256?: Digest;
}

export interface ListedObject {
  readonly key: string;
  readonly sizeBytes: number;
  /** When it was put last, by the store's clock; milliseconds since 1970. */
  readonly modifiedMs: number;
}

export interface ObjectBody extends ObjectInfo {
  readonly body: Readable;
  /** Where in the object the body starts. */
  readonly offset: number;
}

export interface PutOptions extends Cancelable {
  /** `*`: only when there is no such object. */
  readonly ifNoneMatch?: '*';
  /** Only when the object is still the one with this etag. */
  readonly ifMatch?: string;
  readonly contentType?: string;
  /** What the content must hash to; kept with the object. */
  readonly sha256?: Digest;
}

/** Where a store is for a program that asks for its objects by itself. An object's key comes behind `path`. */
export type StoreAccess =
  | { readonly kind: 'directory'; readonly path: string }
  | {
      readonly kind: 's3';
      /** Scheme, host and port. */
      readonly baseUrl: string;
      /** Bucket and prefix, or the prefix alone where the host names the bucket. Not encoded. */
      readonly path: string;
      readonly region: string;
      readonly keys: {
        readonly accessKeyId: string;
        readonly secretAccessKey: Secret;
        /** Of keys that were lent for a while. */
        readonly sessionToken?: Secret;
      };
    };

/**
 * A flat store of objects under keys `kind/name…`. A key is never a folder of another. An object is visible whole or
 * not at all. Throws STORE_OBJECT_NOT_FOUND, STORE_CONFLICT (a condition did not hold), STORE_DENIED,
 * STORE_BUCKET_NOT_FOUND, STORE_UNAVAILABLE, STORE_KEY_INVALID, STORE_RANGE_INVALID.
 */
export interface ObjectStore extends AsyncDisposable {
  /** As it was opened, without credentials: `s3://bucket/prefix`, `file:///directory`. */
  readonly url: string;
  /** The address of an object, for people and for the archive's record. */
  urlOf(key: string): string;
  /** Whether the store is there and lets us in. */
  check(options: Cancelable): Promise<void>;
  head(key: string, options: Cancelable): Promise<ObjectInfo | undefined>;
  get(key: string, options: Cancelable & { readonly range?: ObjectRange }): Promise<ObjectBody>;
  put(key: string, content: Uint8Array | string, options: PutOptions): Promise<{ readonly etag: string }>;
  putFile(key: string, path: string, options: PutOptions): Promise<{ readonly etag: string }>;
  /**
   * An http address under which whoever has it reads the object for some days, ranges included: a secret. None where the
   * store has no such thing. The object need not exist.
   */
  readAddress(key: string, options: Cancelable): Promise<Secret | undefined>;
  /** How another program of this machine reads the store. */
  access(options: Cancelable): Promise<StoreAccess>;
  /** Keys that start with the prefix, in no particular order. */
  list(prefix: string, options: Cancelable): AsyncIterable<ListedObject>;
  /**
   * Drops writes that were begun before this (milliseconds since 1970) and never ended: their writers were killed. Says how
   * many.
   */
  dropUnfinished(begunBeforeMs: number, options: Cancelable): Promise<number>;
  /** Nothing happens when it is not there. */
  delete(key: string, options: Cancelable): Promise<void>;
}
