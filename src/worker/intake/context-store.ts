import { createHash, type Hash } from 'node:crypto';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type Digest, digestOfHex, hexOf, verify } from '../../digest/index.ts';
import { type Cancelable, WorkerError } from '../../errors/index.ts';
import { stageFile } from '../../files/index.ts';
import type { ListedObject, ObjectStore } from '../../objects/index.ts';

/** Before all contexts, a folder a workspace. */
export const CONTEXTS = 'contexts/';

/** Where contexts of a workspace are; nothing else of the store is ever read as one. */
export function contextPrefix(workspaceId: string): string {
  return `${CONTEXTS}${workspaceId}/`;
}

export function contextKey(workspaceId: string, digest: Digest): string {
  return `${contextPrefix(workspaceId)}${hexOf(digest)}.tar`;
}

export interface StoredContext {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** How long uploads stay, and what time it is: milliseconds since 1970. */
export interface UploadAge {
  readonly keepUploadsMs: number;
  readonly now: () => number;
}

/** An upload is put again from this part of its time on, and taken for gone from that part on: nobody builds what goes now. */
const REFRESHED_FROM = 0.5;
const GONE_FROM = 0.9;

export interface UploadOptions extends Cancelable, UploadAge {
  readonly store: ObjectStore;
  /** For the bytes until their digest is known, which is their name. */
  readonly scratchDir: string;
  readonly maxBytes: number;
  /** Asked before the first byte and now and then; what it throws ends the upload. */
  readonly requireRoom: () => Promise<void>;
}

/** Between two looks at the disk. */
const LOOK_BYTES = 64 * 1024 ** 2;

/**
 * Stores a context under its digest: whole or not at all, and the same bytes seldom twice. Throws LIMIT_EXCEEDED as soon as there are
 * too many bytes, and what `requireRoom` throws.
 */
export async function storeContext(
  workspaceId: string,
  bytes: AsyncIterable<Uint8Array>,
  { keepUploadsMs, maxBytes, now, requireRoom, scratchDir, signal, store }: UploadOptions,
): Promise<StoredContext> {
  const hash = createHash('sha256');
  const counted = { bytes: 0 };
  await using staged = await stageFile(
    join(scratchDir, 'uploads'),
    Readable.from(bytes, { objectMode: false, signal }),
    { signal, mode: 0o600, through: measured(hash, counted, { maxBytes, requireRoom }) },
  );
  const digest = digestOfHex(hash.digest('hex'));
  const key = contextKey(workspaceId, digest);
  const there = await find(store, key, { signal });
  const isYoung = there !== undefined && now() - there.modifiedMs < keepUploadsMs * REFRESHED_FROM;
  if (!isYoung || there.sizeBytes !== counted.bytes)
    await store.putFile(key, staged.path, { signal, sha256: digest, contentType: 'application/x-tar' });
  return { digest, sizeBytes: counted.bytes };
}

function measured(
  hash: Hash,
  counted: { bytes: number },
  { maxBytes, requireRoom }: Pick<UploadOptions, 'maxBytes' | 'requireRoom'>,
) {
  return async function* measure(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    let lookAtBytes = 0;
    for await (const piece of source) {
      if (counted.bytes >= lookAtBytes) {
        await requireRoom();
        lookAtBytes = counted.bytes + LOOK_BYTES;
      }
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

/** Whether the workspace has uploaded this, and not so long ago that it may go while a build waits. Throws UPLOAD_NOT_FOUND. */
export async function requireContext(
  workspaceId: string,
  digest: Digest,
  { keepUploadsMs, now, signal, store }: Cancelable & UploadAge & { readonly store: ObjectStore },
): Promise<void> {
  const there = await find(store, contextKey(workspaceId, digest), { signal });
  if (there === undefined || now() - there.modifiedMs >= keepUploadsMs * GONE_FROM)
    throw notUploaded(workspaceId, digest);
}

async function find(store: ObjectStore, key: string, { signal }: Cancelable): Promise<ListedObject | undefined> {
  for await (const listed of store.list(key, { signal })) if (listed.key === key) return listed;
  return undefined;
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
