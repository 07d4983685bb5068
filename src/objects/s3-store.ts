import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandInput,
  type ListMultipartUploadsCommandOutput,
  PutObjectCommand,
  type PutObjectCommandInput,
  paginateListObjectsV2,
  S3Client,
  type S3ClientConfig,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { type Digest, digestOf, hexOf, isDigest, verify } from '../digest/index.ts';
import { type Cancelable, toWorkerError, WorkerError } from '../errors/index.ts';
import { Secret } from '../telemetry/index.ts';
import { untrustedError } from '../tls/index.ts';
import { requireKey } from './key.ts';
import type {
  ListedObject,
  ObjectBody,
  ObjectInfo,
  ObjectRange,
  ObjectStore,
  PutOptions,
  StoreAccess,
} from './object-store.ts';
import { rangeHeader } from './range.ts';
import { statusOf, storeFailure } from './s3-failures.ts';

/** Larger files go up in parts of this size, some at once: what a retry repeats and what memory holds. */
const PART_BYTES = 8 * 1024 * 1024;
const PARTS_AT_ONCE = 3;
/** As long as S3 allows; one that was signed with a session's keys ends with the session. */
const ADDRESS_SECONDS = 7 * 24 * 3600;
/** Where the content's digest is kept with the object (`x-amz-meta-sha256`). */
const SHA256_METADATA = 'sha256';

export interface S3StoreOptions {
  readonly client: S3Client;
  readonly bucket: string;
  /** `''` or `name/`. */
  readonly prefix: string;
  /** Who answers, for errors. */
  readonly host: string;
}

/** A store with a client of its own; nothing is contacted yet. */
export function openS3Store(config: S3ClientConfig, place: Omit<S3StoreOptions, 'client'>): S3Store {
  return new S3Store({ client: new S3Client(config), ...place });
}

/**
 * Objects in a bucket. A condition can fail although the write was ours: the SDK tries again when an answer is lost, and the
 * second try meets the first one's object. Callers compare before they report STORE_CONFLICT.
 */
export class S3Store implements ObjectStore {
  readonly url: string;
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #host: string;

  constructor({ client, bucket, host, prefix }: S3StoreOptions) {
    this.#client = client;
    this.#bucket = bucket;
    this.#prefix = prefix;
    this.#host = host;
    this.url = `s3://${bucket}${prefix === '' ? '' : `/${prefix.slice(0, -1)}`}`;
  }

  urlOf(key: string): string {
    return `s3://${this.#bucket}/${this.#prefix}${key}`;
  }

  async check({ signal }: Cancelable): Promise<void> {
    await this.#doing(`open s3://${this.#bucket}`, signal, async () => {
      try {
        await this.#client.send(new HeadBucketCommand({ Bucket: this.#bucket }), { abortSignal: signal });
      } catch (thrown) {
        // A HEAD has no body, so the 404 has no code that names the bucket.
        if (statusOf(thrown) !== 404) throw thrown;
        throw new WorkerError(
          'STORE_BUCKET_NOT_FOUND',
          `there is no bucket ${this.#bucket}`,
          { bucket: this.#bucket },
          { cause: thrown },
        );
      }
    });
  }

  async head(key: string, { signal }: Cancelable): Promise<ObjectInfo | undefined> {
    return await this.#doing(`look at ${this.urlOf(key)}`, signal, async () => {
      try {
        const answer = await this.#client.send(new HeadObjectCommand(this.#named(key)), { abortSignal: signal });
        return infoOf(answer.ETag, answer.ContentLength, answer.Metadata);
      } catch (thrown) {
        if (statusOf(thrown) === 404) return undefined;
        throw thrown;
      }
    });
  }

  async get(key: string, { range, signal }: Cancelable & { readonly range?: ObjectRange }): Promise<ObjectBody> {
    const what = `read ${this.urlOf(key)}`;
    return await this.#doing(what, signal, async () => {
      const ranged = range === undefined ? {} : { Range: rangeHeader(range, what) };
      const answer = await this.#client.send(new GetObjectCommand({ ...this.#named(key), ...ranged }), {
        abortSignal: signal,
      });
      const { Body: body, ContentLength: bodyBytes, ContentRange: contentRange } = answer;
      if (!(body instanceof Readable)) throw new WorkerError('STORE_PROTOCOL', `${what}: no body`);
      const place = placeOf(contentRange);
      if (range !== undefined && place === undefined) {
        body.destroy();
        throw new WorkerError('STORE_PROTOCOL', `${what}: the store does not know ranges`);
      }
      const info = infoOf(answer.ETag, place?.sizeBytes ?? bodyBytes, answer.Metadata);
      return {
        ...info,
        offset: place?.offset ?? 0,
        body: Readable.from(guarded(body, bodyBytes, what, signal), { objectMode: false, signal }),
      };
    });
  }

  async put(key: string, content: Uint8Array | string, options: PutOptions): Promise<{ readonly etag: string }> {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    const sha256 = digestOf(bytes);
    if (options.sha256 !== undefined && options.sha256 !== sha256)
      throw mismatch(this.urlOf(key), options.sha256, sha256);
    return await this.#doing(`write ${this.urlOf(key)}`, options.signal, async () => {
      const checksum = Buffer.from(hexOf(sha256), 'hex').toString('base64');
      const input = {
        ...this.#putInput(key, { ...options, sha256 }),
        Body: bytes,
        ContentLength: bytes.length,
        ChecksumSHA256: checksum,
      };
      const answer = await this.#client.send(new PutObjectCommand(input), { abortSignal: options.signal });
      return { etag: requireEtag(answer.ETag) };
    });
  }

  async putFile(key: string, path: string, options: PutOptions): Promise<{ readonly etag: string }> {
    const { signal } = options;
    const { size } = await stat(path).catch((thrown: unknown) => {
      throw toWorkerError(thrown, `read ${path}`);
    });
    if (size <= PART_BYTES) return await this.put(key, await readFile(path, { signal }), options);
    return await this.#doing(`write ${this.urlOf(key)}`, signal, async () => {
      // A body that fails (a wrong digest, an abort) makes Upload drop its parts; its own abort would not wait for that.
      const body = bodyOf(path, size, options);
      const input = { ...this.#putInput(key, options), Body: body };
      const upload = new Upload({
        client: this.#client,
        params: input,
        partSize: partBytes(size),
        queueSize: PARTS_AT_ONCE,
      });
      try {
        return { etag: requireEtag((await upload.done()).ETag) };
      } finally {
        body.destroy();
      }
    });
  }

  async *list(prefix: string, { signal }: Cancelable): AsyncGenerator<ListedObject> {
    const what = `list ${this.urlOf(prefix)}`;
    const pages = paginateListObjectsV2(
      { client: this.#client },
      { Bucket: this.#bucket, Prefix: this.#prefix + prefix },
      { abortSignal: signal },
    );
    for (;;) {
      const page = await this.#doing(what, signal, () => pages.next());
      if (page.done === true) return;
      for (const { Key: key, LastModified: modified, Size: sizeBytes = 0 } of page.value.Contents ?? []) {
        if (key === undefined) continue;
        if (modified === undefined) throw new WorkerError('STORE_PROTOCOL', `${what}: an object without a time`);
        yield { key: key.slice(this.#prefix.length), sizeBytes, modifiedMs: modified.getTime() };
      }
    }
  }

  async readAddress(key: string, { signal }: Cancelable): Promise<Secret> {
    return await this.#doing(`sign an address of ${this.urlOf(key)}`, signal, async () => {
      const { getSignedUrl } = await import('@aws-sdk/s3-request-presigner');
      return new Secret(
        await getSignedUrl(this.#client, new GetObjectCommand(this.#named(key)), { expiresIn: ADDRESS_SECONDS }),
      );
    });
  }

  async access({ signal }: Cancelable): Promise<StoreAccess> {
    return await this.#doing(`find the keys of ${this.url}`, signal, async () => {
      const { getSignedUrl } = await import('@aws-sdk/s3-request-presigner');
      // Which host and path a bucket has is the SDK's knowledge.
      const command = new GetObjectCommand(this.#named('blobs'));
      const address = new URL(await getSignedUrl(this.#client, command, { expiresIn: 60 }));
      const { accessKeyId, secretAccessKey, sessionToken } = await this.#client.config.credentials();
      return {
        kind: 's3',
        baseUrl: address.origin,
        path: decodeURIComponent(address.pathname).slice(1, -'blobs'.length),
        region: await this.#client.config.region(),
        keys: {
          accessKeyId,
          secretAccessKey: new Secret(secretAccessKey),
          ...(sessionToken !== undefined && { sessionToken: new Secret(sessionToken) }),
        },
      };
    });
  }

  /** What a killed process had sent of a large file stays, and costs, until somebody drops it. */
  async dropUnfinished(begunBeforeMs: number, { signal }: Cancelable): Promise<number> {
    let dropped = 0;
    let from: Pick<ListMultipartUploadsCommandInput, 'KeyMarker' | 'UploadIdMarker'> | undefined = {};
    while (from !== undefined) {
      const request = { Bucket: this.#bucket, Prefix: this.#prefix, ...from };
      const page: ListMultipartUploadsCommandOutput = await this.#doing(
        `list unfinished writes of ${this.url}`,
        signal,
        () => this.#client.send(new ListMultipartUploadsCommand(request), { abortSignal: signal }),
      );
      for (const { Initiated: begun, Key, UploadId } of page.Uploads ?? []) {
        // Not every store minds the prefix.
        if (!Key?.startsWith(this.#prefix) || begun === undefined || begun.getTime() >= begunBeforeMs) continue;
        if (await this.#dropParts({ Key, UploadId }, signal)) dropped += 1;
      }
      const { IsTruncated: isCut = false, NextKeyMarker: KeyMarker, NextUploadIdMarker: UploadIdMarker } = page;
      from =
        isCut && KeyMarker !== undefined
          ? { KeyMarker, ...(UploadIdMarker !== undefined && { UploadIdMarker }) }
          : undefined;
    }
    return dropped;
  }

  /** False: it was ended meanwhile. */
  async #dropParts(
    named: { readonly Key: string; readonly UploadId: string | undefined },
    signal: AbortSignal,
  ): Promise<boolean> {
    return await this.#doing(`drop an unfinished write of ${this.url}`, signal, async () => {
      const command = new AbortMultipartUploadCommand({ Bucket: this.#bucket, ...named });
      try {
        await this.#client.send(command, { abortSignal: signal });
        return true;
      } catch (thrown) {
        if (statusOf(thrown) === 404) return false;
        throw thrown;
      }
    });
  }

  async delete(key: string, { signal }: Cancelable): Promise<void> {
    await this.#doing(`delete ${this.urlOf(key)}`, signal, async () => {
      try {
        await this.#client.send(new DeleteObjectCommand(this.#named(key)), { abortSignal: signal });
      } catch (thrown) {
        if (storeFailure(thrown, '').code !== 'STORE_OBJECT_NOT_FOUND') throw thrown;
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.destroy();
    await Promise.resolve();
  }

  #named(key: string): { readonly Bucket: string; readonly Key: string } {
    requireKey(key);
    return { Bucket: this.#bucket, Key: this.#prefix + key };
  }

  #putInput(
    key: string,
    { ifNoneMatch, ifMatch, contentType = 'application/octet-stream', sha256 }: PutOptions,
  ): PutObjectCommandInput {
    return {
      ...this.#named(key),
      ContentType: contentType,
      ...(ifNoneMatch === undefined ? {} : { IfNoneMatch: ifNoneMatch }),
      ...(ifMatch === undefined ? {} : { IfMatch: ifMatch }),
      ...(sha256 === undefined ? {} : { Metadata: { [SHA256_METADATA]: sha256 } }),
    };
  }

  async #doing<T>(what: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    try {
      return await work();
    } catch (thrown) {
      signal.throwIfAborted();
      throw untrustedError(thrown, what, this.#host) ?? storeFailure(thrown, what);
    }
  }
}

/** S3 takes at most 10 000 parts. */
function partBytes(sizeBytes: number): number {
  return Math.max(PART_BYTES, Math.ceil(sizeBytes / 10_000));
}

function bodyOf(path: string, sizeBytes: number, { sha256, signal }: PutOptions): Readable {
  const source = createReadStream(path, { signal, highWaterMark: 1024 * 1024 });
  return sha256 === undefined
    ? source
    : Readable.from(verify({ digest: sha256, sizeBytes })(source), { objectMode: false });
}

/** A body whose breaking off is ours to report, and whose early end is an error. */
async function* guarded(
  body: Readable,
  bodyBytes: number | undefined,
  what: string,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let doneBytes = 0;
  try {
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      doneBytes += chunk.length;
      yield chunk;
    }
  } catch (thrown) {
    signal.throwIfAborted();
    if (thrown instanceof Error && /checksum mismatch/i.test(thrown.message))
      throw new WorkerError('BLOB_MISMATCH', `${what}: ${thrown.message}`, {}, { cause: thrown });
    const cut = storeFailure(thrown, what);
    throw cut.code === 'STORE_PROTOCOL'
      ? new WorkerError('STORE_UNAVAILABLE', cut.message, cut.details, { cause: thrown })
      : cut;
  }
  if (bodyBytes !== undefined && doneBytes !== bodyBytes)
    throw new WorkerError('STORE_UNAVAILABLE', `${what}: the body ended after ${doneBytes} of ${bodyBytes} bytes`);
}

/** `bytes 0-99/1234` */
function placeOf(
  contentRange: string | undefined,
): { readonly offset: number; readonly sizeBytes: number } | undefined {
  const match = /^bytes (\d+)-\d+\/(\d+)$/.exec(contentRange ?? '');
  return match === null ? undefined : { offset: Number(match[1]), sizeBytes: Number(match[2]) };
}

function infoOf(
  etag: string | undefined,
  sizeBytes: number | undefined,
  metadata: Readonly<Record<string, string>> | undefined,
): ObjectInfo {
  const kept = metadata?.[SHA256_METADATA];
  if (sizeBytes === undefined) throw new WorkerError('STORE_PROTOCOL', 'the store does not say how long an object is');
  return { sizeBytes, etag: requireEtag(etag), ...(kept !== undefined && isDigest(kept) ? { sha256: kept } : {}) };
}

function requireEtag(etag: string | undefined): string {
  if (etag === undefined) throw new WorkerError('STORE_PROTOCOL', 'the store gives an object no etag');
  return etag;
}

function mismatch(what: string, wanted: Digest, actual: Digest): WorkerError {
  return new WorkerError('BLOB_MISMATCH', `${what}: the content has digest ${actual} instead of ${wanted}`, {
    digest: wanted,
  });
}
