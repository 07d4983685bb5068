import { createHash, type Hash } from 'node:crypto';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type Digest, digestOfHex, hexOf, verify } from '../../digest/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import { stageFile } from '../../files/index.ts';
import type { ObjectStore } from '../../objects/index.ts';

/** Where contexts of a workspace are; nothing else of the store is ever read as one. */
export function contextPrefix(workspaceId: string): string {
  return `contexts/${workspaceId}/`;
}

export function contextKey(workspaceId: string, digest: Digest): string {
  return `${contextPrefix(workspaceId)}${hexOf(digest)}.tar`;
}

export interface StoredContext {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

export interface UploadOptions extends Cancelable {
  readonly store: ObjectStore;
  /** For the bytes until their digest is known, which is their name. */
  readonly scratchDir: string;
  readonly maxBytes: number;
}

/**
 * Stores a context under its digest: whole or not at all, and the same bytes once. Throws LIMIT_EXCEEDED as soon as there are
 * too many bytes.
 */
export async function storeContext(
  workspaceId: string,
  bytes: AsyncIterable<Uint8Array>,
  { maxBytes, scratchDir, signal, store }: UploadOptions,
): Promise<StoredContext> {
  const hash = createHash('sha256');
  const counted = { bytes: 0 };
  await using staged = await stageFile(
    join(scratchDir, 'uploads'),
    Readable.from(bytes, { objectMode: false, signal }),
    { signal, mode: 0o600, through: measured(hash, counted, maxBytes) },
  );
  const digest = digestOfHex(hash.digest('hex'));
  const key = contextKey(workspaceId, digest);
  if ((await store.head(key, { signal }))?.sizeBytes !== counted.bytes)
    await store.putFile(key, staged.path, { signal, sha256: digest, contentType: 'application/x-tar' });
  return { digest, sizeBytes: counted.bytes };
}

function measured(hash: Hash, counted: { bytes: number }, maxBytes: number) {
  return async function* measure(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of source) {
      counted.bytes += piece.length;
      if (counted.bytes > maxBytes)
        throw new WorkerError('LIMIT_EXCEEDED', `the context has more than ${maxBytes} bytes`, {
          limit: String(maxBytes),
        });
      hash.update(piece);
      yield piece;
    }
  };
}

/** Whether the workspace has uploaded this. Throws UPLOAD_NOT_FOUND. */
export async function requireContext(
  workspaceId: string,
  digest: Digest,
  { signal, store }: Cancelable & { readonly store: ObjectStore },
): Promise<void> {
  if ((await store.head(contextKey(workspaceId, digest), { signal })) === undefined)
    throw notUploaded(workspaceId, digest);
}

/** The bytes of an uploaded context, proven at their end. Throws UPLOAD_NOT_FOUND, BLOB_MISMATCH. */
export async function readContext(
  workspaceId: string,
  digest: Digest,
  { signal, store }: Cancelable & { readonly store: ObjectStore },
): Promise<AsyncIterable<Uint8Array>> {
  try {
    const { body, sizeBytes } = await store.get(contextKey(workspaceId, digest), { signal });
    return verify({ digest, sizeBytes })(body);
  } catch (thrown) {
    if (thrown instanceof WorkerError && thrown.code === 'STORE_OBJECT_NOT_FOUND')
      throw notUploaded(workspaceId, digest, thrown);
    throw thrown;
  }
}

function notUploaded(workspaceId: string, digest: Digest, cause?: unknown): WorkerError {
  return new WorkerError(
    'UPLOAD_NOT_FOUND',
    `workspace ${workspaceId} has uploaded no context ${digest}`,
    { digest },
    { cause },
  );
}
